"""Measures how cost grows: documents per second of the encoder, one size varied at a time.

    python benchmarks/growth.py --json growth.json     # some minutes
    python benchmarks/growth.py --short                # seconds, small sizes

Models are random (DBOW, negative 5); word frequencies in models and documents follow Zipf's law. The other sizes stay
at 20 tokens, d100, 20 epochs, 20,000 words, 64 documents per call and one process. Method map has no epochs; on a
random model it may take more or fewer steps than on a trained one. Each process has its own core.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# One thread for BLAS too; must be set before numpy is imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import cpu, pin_to_one_core, usable_cores, write_results
from benchmarks.models import random_model, random_words
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder
from paravec_model.options import Method


@dataclass(frozen=True)
class Sizes:
    """The sizes that cost depends on."""

    tokens: int = 20
    """Tokens per document."""
    vector_size: int = 100
    """Dimensions of a vector."""
    epochs: int = 20
    """Epochs of method sgd."""
    vocabulary: int = 20_000
    """Words of the model."""
    batch: int = 64
    """Documents per call."""
    workers: int = 1
    """Processes that share the mapped model."""


# Read before this process is pinned to one core.
CORES = usable_cores()

TITLES = {
    "tokens": "tokens of a document",
    "vector_size": "numbers in a vector",
    "epochs": "epochs",
    "vocabulary": "words of the model",
    "batch": "documents in a call",
    "workers": "processes, a core each",
}

FULL: dict[str, Sequence[int]] = {
    "tokens": (6, 20, 50, 100, 250, 1000),
    "vector_size": (50, 100, 200, 300, 600),
    "epochs": (5, 10, 20, 50, 100),
    "vocabulary": (1_000, 10_000, 50_000, 500_000),
    "batch": (1, 4, 16, 64, 256),
    "workers": [n for n in (1, 2, 4, 8, 16) if n <= len(CORES)],
}

SHORT: dict[str, Sequence[int]] = {
    "tokens": (6, 20),
    "vector_size": (20, 40),
    "epochs": (5, 20),
    "vocabulary": (1_000, 2_000),
    "batch": (1, 16),
    "workers": FULL["workers"][:2],
}

# Different documents, so that the rows they read are not all in the cache.
_DOCUMENTS = 256


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="small sizes, one round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds [%(default)s]")
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    pin_to_one_core()
    base, steps, rounds, seconds = Sizes(), FULL, arguments.rounds, 0.3
    if arguments.short:
        base, steps, rounds, seconds = Sizes(vector_size=20, vocabulary=1_000, batch=16), SHORT, 1, 0.02
    with tempfile.TemporaryDirectory() as directory:
        rows = measure_all(Path(directory), base, steps, rounds, seconds)
    print(f"{cpu()}, one core per process; documents per second: median of rounds, minimum and maximum\n")
    for row in rows:
        rates = row["documents_per_second"]
        print(
            f"{TITLES[row['along']]:22} {row['at']:8,} {row['method']:4} {statistics.median(rates):10,.0f}"
            f"   ({min(rates):,.0f} to {max(rates):,.0f})"
        )
    write_results(arguments.json, heading=heading(base, rounds), titles=TITLES, base=asdict(base), rows=rows)
    return 0


def measure_all(
    directory: Path, base: Sizes, steps: dict[str, Sequence[int]], rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """A row for each method, varied size and value: documents per second in each round."""

    @cache
    def encoder(vocabulary: int, vector_size: int) -> Encoder:
        path = directory / f"{vocabulary}-{vector_size}"
        found = Encoder(Artifact.open(random_model(path, vocabulary, vector_size, with_map=True)))
        found.warm_up()
        return found

    rows: list[dict[str, Any]] = [
        {"along": along, "at": size, "method": method, "documents_per_second": []}
        for along, sizes in steps.items()
        for method in (("sgd",) if along == "epochs" else ("sgd", "map"))
        for size in sizes
    ]
    # Rounds are the outer loop, so that other load on the machine affects all sizes.
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for row in rows:
            sizes = replace(base, **{row["along"]: row["at"]})
            engine = encoder(sizes.vocabulary, sizes.vector_size)
            row["documents_per_second"].append(rate_of_all(engine, sizes, row["method"], seconds))
    return rows


def rate_of_all(encoder: Encoder, sizes: Sizes, method: Method, seconds: float) -> float:
    """Documents per second of all workers together."""
    if sizes.workers == 1:
        return rate(encoder, sizes, method, seconds)
    context = get_context("fork")
    ready, rates = context.Barrier(sizes.workers), context.SimpleQueue()

    def work(core: int) -> None:
        os.sched_setaffinity(0, {core})
        ready.wait(60)
        rates.put(rate(encoder, sizes, method, seconds))

    workers = [context.Process(target=work, args=(core,)) for core in CORES[: sizes.workers]]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit("growth.py: a process failed")
    return float(sum(rates.get() for _ in workers))


def rate(encoder: Encoder, sizes: Sizes, method: Method, seconds: float) -> float:
    """Documents per second, measured for about `seconds`."""
    options = replace(encoder.defaults, method=method, epochs=sizes.epochs)
    documents = drawn(sizes.vocabulary, sizes.tokens)
    calls = [documents[i : i + sizes.batch] for i in range(0, len(documents), sizes.batch)]
    encoder.encode(calls[0], options)
    done, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        encoder.encode(calls[done % len(calls)], options)
        done += 1
    return done * sizes.batch / taken


@cache
def drawn(vocabulary: int, tokens: int) -> list[list[str]]:
    """Documents whose words are drawn by their frequencies in the random model."""
    words = random_words(vocabulary, _DOCUMENTS * tokens)
    return [words[i : i + tokens] for i in range(0, len(words), tokens)]


def heading(base: Sizes, rounds: int) -> str:
    """What it was measured on, in a line."""
    return (
        f"{cpu()}, one core unless said; random model, DBOW, negative 5; rounds: {rounds}; what does not grow:"
        f" {base.tokens} tokens, d{base.vector_size}, {base.epochs} epochs, {base.vocabulary:,} words,"
        f" {base.batch} documents a call"
    )


if __name__ == "__main__":
    raise SystemExit(main())
