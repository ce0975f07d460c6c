"""Measures servers with several workers: documents per second and memory, with a large model.

    python benchmarks/workers.py --json out.json        # needs nghttp2-client; writes a model of 1.2 GB
    python benchmarks/workers.py --short

The model is random: 500,000 words, vector size 300. Servers with 1, 2, ... workers take turns. h2load sends batches of
64 documents over 32 connections, and shares the cores with them. The first server has one core, the others have all:
even one worker of one inference thread uses more than one core if it can, for the work besides inference.

Memory is the sum of the processes' PSS, which divides shared pages among the processes that map them, after all rows of
the model were read.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.load import Load
from benchmarks.machine import cpu, usable_cores, write_results
from benchmarks.models import Trained, random_model, random_words
from benchmarks.services import ours

_BATCH = 64


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a small model, one round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; medians are printed [%(default)s]")
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    words, rounds, seconds = (2_000, 1, 1.0) if arguments.short else (500_000, arguments.rounds, 4.0)
    with tempfile.TemporaryDirectory() as directory:
        model = random_model(Path(directory) / "model", words, 300)
        size = sum(file.stat().st_size for file in model.iterdir())
        plans = [(1, 1), (1, None), (2, None)] + ([] if arguments.short else [(3, None), (4, None)])
        rows = measure(model, words, plans, rounds, seconds, Path(directory) / "body")
    print(f"{cpu()}, {len(usable_cores())} cores; a model of {size / 2**20:.0f} MiB\n")
    for row in rows:
        grown = (row["pss"] - rows[0]["pss"]) / max(1, row["workers"] - 1) / size
        where = "one core" if row["cores"] == 1 else "all cores"
        print(
            f"{row['workers']} workers, {where:9}  {statistics.median(row['documents_per_second']):8,.0f} documents/s"
            f"  {statistics.median(row['ratios']):.2f} times one"
            f" ({min(row['ratios']):.2f} to {max(row['ratios']):.2f})  {row['pss'] / 2**20:7,.0f} MiB"
            + (f", each further worker adds {grown:.1%} of the model" if row["workers"] > 1 else "")
        )
    write_results(arguments.json, model_bytes=size, rows=rows)
    return 0


def measure(
    model: Path, words: int, plans: list[tuple[int, int | None]], rounds: int, seconds: float, body: Path
) -> list[dict[str, Any]]:
    """A row for each number of workers and cores (None: all): rates and ratios to the first row, and PSS in bytes."""
    trained = Trained("random", model, model, 300, words, 20)
    service = next(one for one in ours(trained) if one.key == "paravec-sgd")
    texts = [" ".join(part) for part in np.array(random_words(words, 20 * _BATCH)).reshape(_BATCH, 20)]
    cores = [str(core) for core in usable_cores()]
    load = Load(connections=32, streams=1, core=",".join(cores))
    rows: list[dict[str, Any]] = [
        {"workers": workers, "cores": count, "documents_per_second": [], "ratios": [], "pss": 0}
        for workers, count in plans
    ]
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for row in rows:
            own = ",".join(cores[: row["cores"]])
            with service.process(own, texts[:1], "--workers", str(row["workers"])) as (port, pid):
                until_all_listen(pid, port, row["workers"])
                request, answer = service.ask(port, texts, 300)
                body.write_bytes(request)
                rate = _BATCH * load.rate_over(service.wire, port, body, len(answer), seconds)
                row["documents_per_second"].append(rate)
                row["ratios"].append(rate / rows[0]["documents_per_second"][-1])
                row["pss"] = max(row["pss"], sum(map(pss, family(pid))))
    return rows


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def until_all_listen(pid: int, port: int, workers: int) -> None:
    """Wait until as many sockets listen on the port as there are workers."""
    end = time.monotonic() + 60
    while listening(port) < workers:
        if time.monotonic() > end:
            raise SystemExit(f"{workers} workers did not listen within a minute (process {pid})")
        time.sleep(0.1)


def listening(port: int) -> int:
    """Number of sockets that listen on a port."""
    lines = [line for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return sum(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)


def pss(pid: int) -> int:
    """Proportional set size (PSS) of a process in bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


if __name__ == "__main__":
    raise SystemExit(main())
