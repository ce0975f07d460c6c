"""Compares install-model with cp: seconds for a model of 1 GB.

    python benchmarks/delivery.py             # in the temporary folder
    python benchmarks/delivery.py /mnt/volume --mib 4096

`cp` only copies the model's files into a folder. install-model copies by cp, reads the copy to verify its SHA-256,
syncs it to disk and renames it. The second pod finds the model installed.
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
    parser.add_argument("folder", nargs="?", type=Path, help="folder for model and store [the temporary folder]")
    parser.add_argument("--mib", type=int, default=1024, help="size of the model in MiB [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; medians are printed [%(default)s]")
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as directory:
        source = random_model(Path(directory) / "source", arguments.mib * 2**20 // 1216, 300)
        for _ in range(arguments.rounds):
            for name, seconds in one_round(source, Path(directory)):
                times.setdefault(name, []).append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"a model of {arguments.mib} MiB, median of {arguments.rounds} rounds\n")
    for name, median in medians.items():
        print(f"{name:36} {median:8.3f} s   {median / medians['cp']:6.2f} × cp")
    if arguments.json:
        arguments.json.write_text(json.dumps(times, indent=2) + "\n")
    return 0


def one_round(source: Path, directory: Path) -> Iterator[tuple[str, float]]:
    """Yield name and seconds of each step."""
    with folder(directory / "cp") as target:
        yield "cp", seconds(lambda: run("cp", *source.iterdir(), target))
    with folder(directory / "sound") as target:
        run("cp", *source.iterdir(), target)
        yield "sha256sum of the copy", seconds(lambda: run("sha256sum", *target.iterdir()))
        yield "sync of the copy", seconds(lambda: run("sync", *target.iterdir()))
    with folder(directory / "store") as store:
        yield "install-model, first pod", seconds(lambda: run(INSTALL, source, store, directory / "run/model"))
        yield "install-model, second pod", seconds(lambda: run(INSTALL, source, store, directory / "run/second"))


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
    """How long `work` takes, in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
