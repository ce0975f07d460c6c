"""Overloads a server, and compares it with a stock grpcio server that does the same work.

    python benchmarks/overload.py --json out.json       # some 12 minutes
    python benchmarks/overload.py --documents 64 --methods sgd --loads 2,10 --greedy ""
    python benchmarks/overload.py --short               # about a minute

The server has one core, the load generator another. Calls with low concurrency first give the peak rate, the base of
all ratios. In an open loop, calls then start at a multiple of the peak rate on 32 connections, whether earlier ones are
answered or not. In a closed loop, 10 connections each keep 100 calls in progress. Calls time out after 5 seconds.
Goodput is what the servers count themselves. During each load, one client calls health and GetModel, and a modest
client sends one text at a time. At the end, modest clients compete with greedy ones. No call is retried.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.bystanders import modest, prober
from benchmarks.contended import OverloadedServer, Timing
from benchmarks.fairness import BATCH, GreedyLoad, fairness_table, measure_fairness, ms, outcome
from benchmarks.machine import cpu, usable_cores, write_results
from benchmarks.models import Trained, best_corpus, texts_of, trained_model
from benchmarks.services import BUILD, ServiceError, paravec, stock

# Connections of a closed loop, and concurrent calls of each.
_CLOSED = (10, 100)

_LONG_TOKENS = 100
"""Tokens of a greedy client's longer documents."""


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    documents: Sequence[int]
    loads: Sequence[float]
    texts: list[str]
    greed: GreedyLoad


def main() -> int:
    """Measure and print."""
    arguments = _arguments()
    # Exit by an exception, so that all processes are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cores = usable_cores()
    timing = Timing(0.3, 0.7) if arguments.short else Timing(1.0, arguments.seconds)
    loads, fair = [], []
    try:
        with tempfile.TemporaryDirectory() as directory:
            corpus, size = ("lee", 50) if arguments.short else (best_corpus(), 100)
            trained = trained_model(BUILD / "models", corpus, size, Path(directory) / "model")
            os.sched_setaffinity(0, {cores[-1]})
            plan = _plan(arguments, trained)
            for method in arguments.methods:
                for service in (paravec(trained, method), stock(trained, method)):
                    print(f"measuring {service.name}", file=sys.stderr)
                    with OverloadedServer.running(service, cores[0], timing) as server:
                        loads += measure_loads(server, plan)
                        fair += measure_fairness(server, plan.greed, plan.texts)
    except ServiceError as error:
        print(f"overload.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"{cpu()}, one core each for server and load; {trained.corpus}, DBOW, d{size}, {arguments.tokens} tokens\n")
    if loads:
        print(loads_table(loads) + "\n")
    if fair:
        print(fairness_table(fair))
    write_results(arguments.json, tokens=arguments.tokens, seconds=timing.measured, loads=loads, fairness=fair)
    return 0


def measure_loads(server: OverloadedServer, plan: Plan) -> list[dict[str, Any]]:
    """A row for each number of documents and load."""
    rows = []
    for documents in plan.documents:
        texts = plan.texts[:documents]
        flood, peak, length = server.flood(texts), server.peak(texts), server.timing.total
        kinds = {f"{times:g}x": flood.open(times * peak, length) for times in plan.loads}
        kinds["closed"] = flood.closed(*_CLOSED, length)
        for kind, load in kinds.items():
            probing, single = prober(), modest(plan.texts[:1])
            row: dict[str, Any] = {"server": server.service.key, "documents": documents, "load": kind, "peak": peak}
            row |= server.measure(load, (probing, single))
            row |= {
                "kept": row["goodput"] / peak if peak else 0.0,
                "probes": probing.results(),
                "modest": single.results(),
            }
            rows.append(row)
            print(load_line(row), file=sys.stderr)
    return rows


def loads_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a text table."""
    lines = [
        f"{'server':12} {'documents':>9} {'load':>6} {'peak/s':>7} {'sent':>6} {'kept':>5} {'MiB':>5}"
        f" {'Check, GetModel: longest, lost':>31}  one text: answered, lost, p50, p99"
    ]
    return "\n".join([*lines, *map(load_line, rows)])


def load_line(row: dict[str, Any]) -> str:
    """One row of the table."""
    times = row["sent"] / row["peak"] if row["peak"] else 0.0
    probes = f"{ms(row['probes']['longest'])} ms, {sum(row['probes']['failed'].values())}"
    return (
        f"{row['server']:12} {row['documents']:9} {row['load']:>6} {row['peak']:7.0f}"
        f" {times:5.1f}x {row['kept']:5.0%} {row['memory'] / 2**20:5.0f}"
        f" {probes:>31}  {outcome(row['modest'])}"
    )


def _plan(arguments: argparse.Namespace, trained: Trained) -> Plan:
    texts = texts_of(trained, arguments.tokens, max([*arguments.documents, BATCH]))
    tokens = [arguments.tokens] if arguments.short else [arguments.tokens, _LONG_TOKENS]
    greedy = {count: texts_of(trained, count, BATCH) for count in tokens} if arguments.greedy else {}
    return Plan(arguments.documents, arguments.loads, texts, GreedyLoad(arguments.greedy, arguments.batches, greedy))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--short", action="store_true", help="the Lee corpus, and a second for each of few loads")
    add("--seconds", type=float, default=3.5, help="duration of each load [%(default)s]")
    add(
        "--documents", type=_comma_list(int), default="1,8,64,256", help='documents per call; "" for none [%(default)s]'
    )
    add("--methods", type=_comma_list(str), default="map,sgd", help="inference methods [%(default)s]")
    add(
        "--loads",
        type=_comma_list(float),
        default="1.5,2,3,5,10",
        help="multiples of the peak rate [%(default)s]",
    )
    add("--greedy", type=_comma_list(int), default="8,16,64", help='greedy connections; "" for none [%(default)s]')
    add("--batches", type=int, default=1, help="concurrent calls of each greedy connection [%(default)s]")
    add("--tokens", type=int, default=20, help="tokens per document [%(default)s]")
    add("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    if unknown := set(arguments.methods) - {"map", "sgd"}:
        parser.error(f"--methods: unknown: {', '.join(sorted(unknown))}; known: map, sgd")
    for tool, package in (("h2load", "nghttp2-client"), ("taskset", "util-linux")):
        if not shutil.which(tool):
            parser.exit(1, f"overload.py: needs {tool}: apt-get install {package}\n")
    if arguments.short:
        arguments.documents, arguments.methods, arguments.loads = [1, 64], ["map"], [2.0, 10.0]
        arguments.greedy = [8]
    return arguments


def _comma_list(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    def parse(text: str) -> list[Any]:
        return [kind(part) for part in text.split(",") if part]

    return parse


if __name__ == "__main__":
    raise SystemExit(main())
