"""What becomes of each document, in order, and at the end a word on those that have no vector."""

import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ... import Embedding, EmbeddingClient, InferenceOptions, ParavecError
from ..problems import CommandError
from .inputs import Record

# Documents without a vector that are named at the end.
_NAMED = 5


@dataclass(frozen=True)
class Outcome:
    """A document, and its embedding or why it has none."""

    record: Record
    embedding: Embedding | None
    problem: str | None


def outcomes(
    client: EmbeddingClient, records: Iterator[Record], options: InferenceOptions, *, fail: bool
) -> Iterator[Outcome]:
    """The outcome of each record. The error of a document at fault is raised if it is to `fail`; that of options is
    every document's, and always raised. Errors say where a document stands, not what is in it."""
    asked: deque[Record] = deque()

    def documents() -> Iterator[Any]:
        for record in records:
            asked.append(record)
            yield record.document

    told = False
    for outcome in client.embed_stream(documents(), options, errors="return"):
        record = asked.popleft()
        if isinstance(outcome, Embedding):
            if not told:
                told = _tell_unused(options, outcome)
            yield Outcome(record, outcome, None)
            continue
        problem = _problem(record, outcome)
        if problem is None:
            raise outcome
        if fail and record.problem:
            raise CommandError(f"{record.place}: {problem}", 1)
        if fail:
            outcome.args = (f"{record.place}: {problem}",)
            raise outcome
        yield Outcome(record, None, problem)


def _tell_unused(options: InferenceOptions, embedding: Embedding) -> bool:
    """Say on standard error which options had no effect, where the method was left to the model; True: it is said."""
    if embedding.method == "map":
        for name in ("epochs", "alpha", "min_alpha", "seed"):
            if getattr(options, name) is not None:
                flag = name.replace("_", "-")
                print(f"paravec: --{flag} has no effect: this model's method is map (--method)", file=sys.stderr)
    return True


def _problem(record: Record, error: ParavecError) -> str | None:
    """What is wrong with a document; None if it is not the document."""
    if record.problem:
        return record.problem
    if record.document is None:
        return "has no such field, or null in it (--field names it)"
    if not error.violations:
        return str(error)
    violation = error.violations[0]
    return violation.description if violation.field.startswith("document") else None


class Faults:
    """Counts documents without a vector."""

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self._first: list[str] = []

    def note(self, outcome: Outcome) -> None:
        """Take an outcome in."""
        if outcome.embedding is None:
            self.count += 1
            if len(self._first) < _NAMED:
                self._first.append(f"{outcome.record.place}: {outcome.problem}")

    def tell(self) -> None:
        """Say on standard error how many there were, and where the first stand."""
        if self.count:
            more = ["..."] if self.count > len(self._first) else []
            lines = [f"paravec: documents without a vector: {self.count:,}", *self._first, *more]
            print("\n  ".join(lines), file=sys.stderr)
