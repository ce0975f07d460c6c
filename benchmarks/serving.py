"""Services beside each other: calls and documents per second of ours, of an empty handler, and of gensim in others.

    python benchmarks/serving.py                      # a few minutes; the peers are installed on first use
    python benchmarks/serving.py --peers flask --rounds 3 --json serving.json
    python benchmarks/serving.py --short              # seconds: ours and the empty handler, a small model

All serve one model (the Italian help's if libreoffice-help-it is installed, else Lee's; DBOW, negative 5, d100, 20
epochs). Each is started alone, with one worker on one core, in turns within each round; h2load (Debian:
nghttp2-client) calls it from the other core. A call bears one text of 20 tokens, the same in each call: 8
connections with 8 calls at once for gRPC, 64 connections for HTTP. Or it bears a batch: 256 texts to ours and to the
empty handler, 64 to the others; 4 calls at once.
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

AT_ONCE, BATCHES_AT_ONCE = 64, 4
"""Calls in progress, with one text each and with a batch."""


@dataclass
class Figures:
    """What was measured of a service, a number for each round."""

    service: Service
    calls: list[float] = field(default_factory=list)
    """Calls per second, with one text each."""
    documents: list[float] = field(default_factory=list)
    """Documents per second, in batches."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and how."""

    trained: Trained
    texts: list[str]
    """As many as the largest batch; the first is what single calls bear."""
    seconds: float
    """How long a service is called for a figure."""
    cores: tuple[int, int]
    """Of the service, and of the load."""

    def measure(self, figures: Figures) -> None:
        """Start a service, call it with single texts and with batches, and add what was found."""
        service = figures.service
        with service.running(self.cores[0], self.texts[:2]) as port:
            try:
                calls = self._rate(service, port, 1, AT_ONCE)
                batches = self._rate(service, port, service.batch, BATCHES_AT_ONCE)
            except LoadError as error:
                raise ServiceError(f"{service.name}: {error}") from error
        figures.calls.append(calls)
        figures.documents.append(batches * service.batch)

    def _rate(self, service: Service, port: int, size: int, at_once: int) -> float:
        texts, vector_size = self.texts[:size], self.trained.vector_size
        streams = min(8, at_once // 2) if service.wire.grpc else 1
        request, answer = service.ask(port, texts, vector_size)
        with tempfile.NamedTemporaryFile() as body:
            body.write(request)
            body.flush()
            load = Load(at_once // streams, streams, self.cores[1])
            rate = load.rate(service.wire, port, Path(body.name), len(answer), self.seconds)
        service.ask(port, texts, vector_size)
        return rate


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="no peers, a small model, few calls, one round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds for each figure [%(default)s]")
    parser.add_argument("--peers", default=",".join(PEER_NAMES), help="which others, with commas [%(default)s]")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    keys = [] if arguments.short else [key for key in arguments.peers.split(",") if key]
    if unknown := set(keys) - set(PEER_NAMES):
        parser.error(f"--peers: there is no {', '.join(sorted(unknown))}; there are {', '.join(PEER_NAMES)}")
    for tool, package in (("h2load", "nghttp2-client"), ("taskset", "util-linux")):
        if not shutil.which(tool):
            parser.exit(1, f"serving.py: needs {tool}: apt-get install {package}\n")
    # What runs is ended in any case.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rounds = 1 if arguments.short else arguments.rounds
    corpus, size, seconds = ("lee", 20, 0.2) if arguments.short else (best_corpus(), 100, 1.5)
    try:
        with tempfile.TemporaryDirectory() as place:
            trained = trained_model(BUILD / "models", corpus, size, Path(place) / "model")
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
    facts |= {"at_once": {"calls": AT_ONCE, "batches": BATCHES_AT_ONCE}}
    print_table(facts, measured)
    if arguments.json:
        figures = facts | {"heading": heading(facts), "services": as_rows(measured)}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if failed & {"empty", "paravec-map", "paravec-sgd"} else 0


def measure_all(plan: Plan, keys: Sequence[str], rounds: int) -> tuple[list[Figures], set[str]]:
    """Figures of all services that kept up, and the keys of those that did not; these are named on stderr."""
    measured, failed = [Figures(service) for service in ours(plan.trained)], set()
    for key in keys:
        try:
            measured.append(Figures(peer(key, plan.trained)))
        except ServiceError as error:
            print(error, file=sys.stderr)
    for number in range(rounds):
        for figures in list(measured):
            print(f"round {number + 1} of {rounds}: {figures.service.name}", file=sys.stderr)
            try:
                plan.measure(figures)
            except ServiceError as error:
                print(error, file=sys.stderr)
                measured.remove(figures)
                failed.add(figures.service.key)
    return measured, failed


def print_table(facts: dict[str, Any], measured: Sequence[Figures]) -> None:
    """Medians with the lowest and highest of rounds, and ratios to Flask and to the empty handler."""
    print(heading(facts))
    print("ratios: to one text a call of Flask's, and to the empty handler; medians of rounds\n")
    print(
        f"{'service':20} {'speaks':21} {'calls/s, one text':>22} {'Flask':>7} {'empty':>6}"
        f" {'batch':>6} {'documents/s':>24} {'Flask':>7} {'empty':>6}"
    )
    (flask, _), (calls, documents) = rates_of(measured, "flask"), rates_of(measured, "empty")
    for figures in measured:
        print(
            f"{figures.service.name:20} {figures.service.wire.name:21}"
            f" {spread(figures.calls):>22} {times(figures.calls, flask):>7}"
            f" {percent(figures.calls, calls):>6}"
            f" {figures.service.batch:6} {spread(figures.documents):>24}"
            f" {times(figures.documents, flask):>7}"
            f" {percent(figures.documents, documents):>6}"
        )


def as_rows(measured: Sequence[Figures]) -> list[dict[str, Any]]:
    """All figures, for a program to read."""
    rows = []
    flask, _ = rates_of(measured, "flask")
    for figures in measured:
        service = figures.service
        row: dict[str, Any] = {"key": service.key, "name": service.name, "wire": service.wire.name}
        row |= {"versions": versions(service.key) if service.key in PEER_NAMES else {}}
        row |= {"calls_per_second": figures.calls, "batch": service.batch, "documents_per_second": figures.documents}
        row |= {"median_calls_per_second": statistics.median(figures.calls)}
        row |= {"median_documents_per_second": statistics.median(figures.documents)}
        rates = {"calls": figures.calls, "documents": figures.documents}
        row |= {"times_flask": {name: ratio(some, flask) for name, some in rates.items()} if flask else {}}
        rows.append(row)
    return rows


def rates_of(measured: Sequence[Figures], key: str) -> tuple[list[float], list[float]]:
    """Calls and documents per second of one service; none if it was not measured."""
    return next(((f.calls, f.documents) for f in measured if f.service.key == key), ([], []))


def ratio(rates: Sequence[float], base: Sequence[float]) -> float:
    """The median of each round's ratio."""
    return statistics.median(a / b for a, b in zip(rates, base, strict=True))


def times(rates: Sequence[float], base: Sequence[float]) -> str:
    """So many times the base."""
    return f"{ratio(rates, base):.1f}×" if base else ""


def percent(rates: Sequence[float], base: Sequence[float]) -> str:
    """So much of the base."""
    return f"{100 * ratio(rates, base):.0f}%" if base else ""


def spread(rates: Sequence[float]) -> str:
    """The median with the lowest and the highest."""
    return f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"


def heading(facts: dict[str, Any]) -> str:
    """What it was measured on, in a line."""
    about = facts["model"]
    return (
        f"{facts['cpu']}, one core each for service and load; {about['corpus']}, DBOW, negative 5,"
        f" d{about['vector_size']}, {about['epochs']} epochs, {facts['tokens']} tokens; rounds: {facts['rounds']}"
    )


def model(trained: Trained) -> dict[str, Any]:
    """What is served."""
    return {
        "corpus": trained.corpus, "mode": "dbow", "negative": 5, "vector_size": trained.vector_size,
        "vocabulary_size": trained.vocabulary_size, "epochs": trained.epochs,
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
