"""What autoscaling can see: CPU, what is in flight over its limit, and latency, at growing load.

    python benchmarks/scaling.py --json out.json        # some four minutes

The server has one core, the load generator another. Calls in an open loop on 32 connections, at a share of the peak
rate. One more caller sends the same request with pauses and measures its latency. What is in flight is read ten times a
second from the server's metrics, as a mean over its limit.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.bystanders import calling, modest, percentile
from benchmarks.contended import OverloadedServer, Timing
from benchmarks.machine import cpu, usable_cores, write_results
from benchmarks.models import best_corpus, texts_of, trained_model
from benchmarks.services import BUILD, ServiceError, paravec

_IN_FLIGHT = ("calls_in_flight", "streams_in_flight", "work_in_flight_seconds", "message_bytes_in_flight")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--seconds", type=float, default=6.0, help="duration of each load [%(default)s]")
    add("--shares", default="0.3,0.5,0.6,0.7,0.8,0.9,1,1.2,1.5", help="loads, as shares of the peak [%(default)s]")
    add("--short", action="store_true", help="the Lee corpus, one kind of call and two loads")
    add("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    cores, rows, timing = usable_cores(), [], Timing(1, 3)
    corpus, size, kinds = best_corpus(), 100, [("map", 1), ("sgd", 1), ("map", 64), ("sgd", 64)]
    if arguments.short:
        corpus, size, kinds, timing = "lee", 50, kinds[:1], Timing(0.3, 0.7)
        arguments.shares, arguments.seconds = "0.5,1.5", 1.0
    shares = [float(share) for share in arguments.shares.split(",")]
    try:
        with tempfile.TemporaryDirectory() as directory:
            trained = trained_model(BUILD / "models", corpus, size, Path(directory) / "model")
            texts = texts_of(trained, 20, 64)
            os.sched_setaffinity(0, {cores[-1]})
            print(f"{cpu()}, one core each for server and load; {corpus}, DBOW, d{size}, 20 tokens a document\n")
            print(f"{'':10} {'load':>5} {'sent/s':>7} {'answered':>8} {'CPU':>5} {'p50':>6} {'p99':>6}  in flight")
            for method, documents in kinds:
                with OverloadedServer.running(paravec(trained, method), cores[0], timing) as server:
                    for row in measure(server, texts[:documents], shares, arguments.seconds):
                        rows.append({"method": method, "documents": documents, **row})
                        print(line(rows[-1]), flush=True)
    except ServiceError as error:
        print(f"scaling.py: {error}", file=sys.stderr)
        return 1
    write_results(arguments.json, rows=rows)
    return 0


def measure(
    server: OverloadedServer, texts: Sequence[str], shares: Sequence[float], seconds: float
) -> Iterator[dict[str, Any]]:
    """A row for each load."""
    peak = max(server.peak(texts) for _ in range(2))
    for share in shares:
        caller, flood = modest(texts), server.flood(texts)
        with flood.open(share * peak, seconds + 2) as sent:
            time.sleep(1)  # until all connections call
            with sampled(server.operations) as seen, calling(server.port, (caller,)):
                time.sleep(seconds)
        yield {
            "share": share, "sent": sent.rate, "p50": percentile(caller.seconds, 0.5),
            "p99": percentile(caller.seconds, 0.99), "failed": dict(caller.failed), **seen,
        }  # fmt: skip


@contextmanager
def sampled(operations: int) -> Iterator[dict[str, float]]:
    """Read the metrics until the context ends, and put into the yielded dictionary what they tell of that time."""
    seen: dict[str, float] = {}
    ratios: dict[str, list[float]] = {name: [] for name in _IN_FLIGHT}
    first, began, over = metrics(operations), time.perf_counter(), threading.Event()

    def read() -> None:
        while not over.wait(0.1):
            now = metrics(operations)
            for name in _IN_FLIGHT:
                ratios[name].append(now[f"paravec_{name}"] / now[f"paravec_{name}_limit"])

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield seen
    finally:
        last, spent = metrics(operations), time.perf_counter() - began
        over.set()
        reader.join()
    for name in ("process_cpu_seconds_total", "answered", "paravec_calls_refused_total"):
        seen[name] = (last[name] - first[name]) / spent
    seen |= {name: mean(found) for name, found in ratios.items()}


def metrics(operations: int) -> dict[str, float]:
    """All samples, added up over their labels; `answered` are the calls of Embed that were."""
    with urllib.request.urlopen(f"http://127.0.0.1:{operations}/metrics", timeout=60) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    found: dict[str, float] = {"answered": 0.0}
    for sample in (sample for family in families for sample in family.samples):
        found[sample.name] = found.get(sample.name, 0.0) + sample.value
        if sample.name == "paravec_calls_total" and sample.labels == {"method": "Embed", "code": "OK"}:
            found["answered"] = sample.value
    return found


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    p50, p99 = ("-" if row[name] is None else f"{1000 * row[name]:.0f} ms" for name in ("p50", "p99"))
    fullest = max(_IN_FLIGHT, key=row.__getitem__)
    return (
        f"{row['method']:4} {row['documents']:5} {row['share']:5.1f} {row['sent']:7.0f} {row['answered']:8.0f}"
        f" {row['process_cpu_seconds_total']:5.0%} {p50:>6} {p99:>6}  {row[fullest]:6.1%} of {fullest}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
