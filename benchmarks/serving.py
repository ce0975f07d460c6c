"""Compares services: calls and documents per second of paravec-server, an empty handler, and gensim in other servers.

    python benchmarks/serving.py                      # a few minutes; the peers are installed on first use
    python benchmarks/serving.py --peers flask --rounds 3 --json serving.json
    python benchmarks/serving.py --short              # seconds: ours and the empty handler, a small model

All serve one model (trained on the Italian help if libreoffice-help-it is installed, else on Lee; DBOW, negative 5,
d100, 20 epochs). In each round, each service runs alone with one worker on one core; h2load (Debian: nghttp2-client)
calls it from another core. Single calls all send the same text of 20 tokens: 8 connections with 8 concurrent calls for
gRPC, 64 connections for HTTP. Batch calls send 256 texts to paravec-server and to the empty handler, 64 to the others;
4 run concurrently.
"""

import argparse
import json
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.load import Load, LoadError
from benchmarks.machine import cpu, software, usable_cores
from benchmarks.models import Trained, best_corpus, texts_of, trained_model
from benchmarks.services import BUILD, PEER_NAMES, Service, ServiceError, ours, peer, versions

TOKENS = 20

CONCURRENT_CALLS, CONCURRENT_BATCHES = 64, 4
"""Concurrent calls with one text each, and with a batch."""


@dataclass
class Measurements:
    """The rates of a service, one per round."""

    service: Service
    calls: list[float] = field(default_factory=list)
    """Calls per second, with one text each."""
    documents: list[float] = field(default_factory=list)
    """Documents per second, in batches."""


@dataclass(frozen=True)
class Plan:
    """What is measured and how."""

    trained: Trained
    texts: list[str]
    """As many as the largest batch has; single calls send the first."""
    seconds: float
    """Duration of each measurement."""
    cores: tuple[int, int]
    """The service's core and the load generator's."""

    def measure(self, measurements: Measurements) -> None:
        """Start a service, call it with single texts and with batches, and add the rates."""
        service = measurements.service
        with service.running(self.cores[0], self.texts[:2]) as port:
            try:
                calls = self._rate(service, port, 1, CONCURRENT_CALLS)
                batches = self._rate(service, port, service.batch, CONCURRENT_BATCHES)
            except LoadError as error:
                raise ServiceError(f"{service.name}: {error}") from error
        measurements.calls.append(calls)
        measurements.documents.append(batches * service.batch)

    def _rate(self, service: Service, port: int, size: int, concurrent: int) -> float:
        texts, vector_size = self.texts[:size], self.trained.vector_size
        streams = min(8, concurrent // 2) if service.wire.grpc else 1
        request, answer = service.ask(port, texts, vector_size)
        with tempfile.NamedTemporaryFile() as body:
            body.write(request)
            body.flush()
            load = Load(concurrent // streams, streams, self.cores[1])
            rate = load.rate(service.wire, port, Path(body.name), len(answer), self.seconds)
        service.ask(port, texts, vector_size)
        return rate


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="no peers, a small model, few calls, one round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds [%(default)s]")
    parser.add_argument(
        "--peers", default=",".join(PEER_NAMES), help="other services, separated by commas [%(default)s]"
    )
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    keys = [] if arguments.short else [key for key in arguments.peers.split(",") if key]
    if unknown := set(keys) - set(PEER_NAMES):
        parser.error(f"--peers: unknown: {', '.join(sorted(unknown))}; known: {', '.join(PEER_NAMES)}")
    for tool, package in (("h2load", "nghttp2-client"), ("taskset", "util-linux")):
        if not shutil.which(tool):
            parser.exit(1, f"serving.py: needs {tool}: apt-get install {package}\n")
    # Exit by an exception, so that all processes are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rounds = 1 if arguments.short else arguments.rounds
    corpus, size, seconds = ("lee", 20, 0.2) if arguments.short else (best_corpus(), 100, 1.5)
    try:
        with tempfile.TemporaryDirectory() as directory:
            trained = trained_model(BUILD / "models", corpus, size, Path(directory) / "model")
            cores = usable_cores()
            plan = Plan(trained, texts_of(trained, TOKENS, 256), seconds, (cores[0], cores[-1]))
            measured, failed = measure_all(plan, keys, rounds)
    except ServiceError as error:
        parser.exit(1, f"serving.py: {error}\n")
    except KeyboardInterrupt:
        return 130
    facts: dict[str, Any] = {
        "cpu": cpu(),
        "cores": {"service": plan.cores[0], "load": plan.cores[1]},
        "software": software(),
    }
    facts |= {"model": model(trained), "tokens": TOKENS, "seconds": seconds, "rounds": rounds}
    facts |= {"at_once": {"calls": CONCURRENT_CALLS, "batches": CONCURRENT_BATCHES}}
    print_table(facts, measured)
    if arguments.json:
        figures = facts | {"heading": heading(facts), "services": as_rows(measured)}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if failed & {"empty", "paravec-map", "paravec-sgd"} else 0


def measure_all(plan: Plan, keys: Sequence[str], rounds: int) -> tuple[list[Measurements], set[str]]:
    """Measurements of all services that worked, and the keys of those that failed, whose errors go to stderr."""
    measured, failed = [Measurements(service) for service in ours(plan.trained)], set()
    for key in keys:
        try:
            measured.append(Measurements(peer(key, plan.trained)))
        except ServiceError as error:
            print(error, file=sys.stderr)
    for number in range(rounds):
        for measurements in list(measured):
            print(f"round {number + 1} of {rounds}: {measurements.service.name}", file=sys.stderr)
            try:
                plan.measure(measurements)
            except ServiceError as error:
                print(error, file=sys.stderr)
                measured.remove(measurements)
                failed.add(measurements.service.key)
    return measured, failed


def print_table(facts: dict[str, Any], measured: Sequence[Measurements]) -> None:
    """Print medians with minima and maxima, and ratios to Flask and to the empty handler."""
    print(heading(facts))
    print("ratios: to Flask with one text per call, and to the empty handler; medians of rounds\n")
    print(
        f"{'service':20} {'protocol':21} {'calls/s, one text':>22} {'Flask':>7} {'empty':>6}"
        f" {'batch':>6} {'documents/s':>24} {'Flask':>7} {'empty':>6}"
    )
    (flask, _), (calls, documents) = rates_of(measured, "flask"), rates_of(measured, "empty")
    for measurements in measured:
        print(
            f"{measurements.service.name:20} {measurements.service.wire.name:21}"
            f" {spread(measurements.calls):>22} {times(measurements.calls, flask):>7}"
            f" {percent(measurements.calls, calls):>6}"
            f" {measurements.service.batch:6} {spread(measurements.documents):>24}"
            f" {times(measurements.documents, flask):>7}"
            f" {percent(measurements.documents, documents):>6}"
        )


def as_rows(measured: Sequence[Measurements]) -> list[dict[str, Any]]:
    """All rates, as JSON objects."""
    rows = []
    flask, _ = rates_of(measured, "flask")
    for measurements in measured:
        service = measurements.service
        row: dict[str, Any] = {"key": service.key, "name": service.name, "wire": service.wire.name}
        row |= {"versions": versions(service.key) if service.key in PEER_NAMES else {}}
        row |= {
            "calls_per_second": measurements.calls,
            "batch": service.batch,
            "documents_per_second": measurements.documents,
        }
        row |= {"median_calls_per_second": statistics.median(measurements.calls)}
        row |= {"median_documents_per_second": statistics.median(measurements.documents)}
        rates = {"calls": measurements.calls, "documents": measurements.documents}
        row |= {"times_flask": {name: ratio(some, flask) for name, some in rates.items()} if flask else {}}
        rows.append(row)
    return rows


def rates_of(measured: Sequence[Measurements], key: str) -> tuple[list[float], list[float]]:
    """Calls and documents per second of one service; empty lists if it was not measured."""
    return next(((f.calls, f.documents) for f in measured if f.service.key == key), ([], []))


def ratio(rates: Sequence[float], base: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(rates, base, strict=True))


def times(rates: Sequence[float], base: Sequence[float]) -> str:
    """The ratio to the base, as a factor."""
    return f"{ratio(rates, base):.1f}×" if base else ""


def percent(rates: Sequence[float], base: Sequence[float]) -> str:
    """The ratio to the base, in percent."""
    return f"{100 * ratio(rates, base):.0f}%" if base else ""


def spread(rates: Sequence[float]) -> str:
    """The median with minimum and maximum."""
    return f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"


def heading(facts: dict[str, Any]) -> str:
    """Machine, model and texts in one line."""
    about = facts["model"]
    return (
        f"{facts['cpu']}, one core each for service and load; {about['corpus']}, DBOW, negative 5,"
        f" d{about['vector_size']}, {about['epochs']} epochs, {facts['tokens']} tokens; rounds: {facts['rounds']}"
    )


def model(trained: Trained) -> dict[str, Any]:
    """The served model."""
    return {
        "corpus": trained.corpus, "mode": "dbow", "negative": 5, "vector_size": trained.vector_size,
        "vocabulary_size": trained.vocabulary_size, "epochs": trained.epochs,
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
