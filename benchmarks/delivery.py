"""install-model beside cp: seconds for a model of 1 GB, in one run, in the folder named.

    python benchmarks/delivery.py             # in the temp folder
    python benchmarks/delivery.py /mnt/volume --mib 4096

`cp` copies the model's files into a folder and does nothing else. install-model copies, reads the copy again for its
SHA-256, flushes it to the disk and renames it; its copying is cp's. The second pod finds the model there.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.models import random_model

INSTALL = Path(__file__).parents[1] / "model/image/install-model"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="where model and store are made [the temp folder]")
    parser.add_argument("--mib", type=int, default=1024, help="size of the model [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; medians are printed [%(default)s]")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        source = random_model(Path(place) / "source", arguments.mib * 2**20 // 1216, 300)
        for _ in range(arguments.rounds):
            for name, seconds in one_round(source, Path(place)):
                times.setdefault(name, []).append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"a model of {arguments.mib} MiB, median of {arguments.rounds} rounds\n")
    for name, median in medians.items():
        print(f"{name:36} {median:8.3f} s   {median / medians['cp']:6.2f} × cp")
    if arguments.json:
        arguments.json.write_text(json.dumps(times, indent=2) + "\n")
    return 0


def one_round(source: Path, place: Path) -> Iterator[tuple[str, float]]:
    """Name and seconds of each thing that is measured."""
    with folder(place / "cp") as target:
        yield "cp", seconds(lambda: run("cp", *source.iterdir(), target))
    with folder(place / "sound") as target:
        run("cp", *source.iterdir(), target)
        yield "sha256sum of the copy", seconds(lambda: run("sha256sum", *target.iterdir()))
        yield "sync of the copy", seconds(lambda: run("sync", *target.iterdir()))
    with folder(place / "store") as store:
        yield "install-model, first pod", seconds(lambda: run(INSTALL, source, store, place / "run/model"))
        yield "install-model, second pod", seconds(lambda: run(INSTALL, source, store, place / "run/second"))


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """An empty folder, deleted at the end."""
    path.mkdir()
    yield path
    shutil.rmtree(path)


def run(*command: str | Path) -> None:
    """Run a command that must succeed."""
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


def seconds(work: Callable[[], None]) -> float:
    """How long `work` took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
