"""Embeds records in order, and summarizes those that fail."""

import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ... import Embedding, EmbeddingClient, InferenceOptions, ParavecError
from ..errors import CommandError
from .inputs import Record

# Failed documents that the summary lists.
_LISTED_FAILURES = 5


@dataclass(frozen=True)
class RecordOutcome:
    """A record, and its embedding or the reason why it has none."""

    record: Record
    embedding: Embedding | None
    problem: str | None


def embed_records(
    client: EmbeddingClient, records: Iterator[Record], options: InferenceOptions, *, fail: bool
) -> Iterator[RecordOutcome]:
    """The outcome of each record, in order.

    With `fail`, the error of an invalid document is raised. An error of the options is raised always, because every
    document would fail. Errors name the location of a document, never its content.
    """
    sent: deque[Record] = deque()

    def documents() -> Iterator[Any]:
        for record in records:
            sent.append(record)
            yield record.document

    warned = False
    for outcome in client.embed_stream(documents(), options, errors="return"):
        record = sent.popleft()
        if isinstance(outcome, Embedding):
            if not warned:
                _warn_of_unused_options(options, outcome)
                warned = True
            yield RecordOutcome(record, outcome, None)
            continue
        problem = _document_problem(record, outcome)
        if problem is None:
            raise outcome
        if fail and record.problem:
            raise CommandError(f"{record.location}: {problem}", 1)
        if fail:
            outcome.args = (f"{record.location}: {problem}",)
            raise outcome
        yield RecordOutcome(record, None, problem)


def _warn_of_unused_options(options: InferenceOptions, embedding: Embedding) -> None:
    """Warn on standard error of options that the model's default method ignores."""
    if embedding.method == "map":
        for name in ("epochs", "alpha", "min_alpha", "seed"):
            if getattr(options, name) is not None:
                flag = name.replace("_", "-")
                print(f"paravec: --{flag} has no effect: this model's method is map (--method)", file=sys.stderr)


def _document_problem(record: Record, error: ParavecError) -> str | None:
    """What is wrong with the document; None if the error is not about it."""
    if record.problem:
        return record.problem
    if record.document is None:
        return "has no such field, or null in it (--field names it)"
    if not error.violations:
        return str(error)
    violation = error.violations[0]
    return violation.description if violation.field.startswith("document") else None


class FailureSummary:
    """Counts documents without a vector."""

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self._first: list[str] = []

    def add(self, outcome: RecordOutcome) -> None:
        """Count an outcome if it is a failure."""
        if outcome.embedding is None:
            self.count += 1
            if len(self._first) < _LISTED_FAILURES:
                self._first.append(f"{outcome.record.location}: {outcome.problem}")

    def print(self) -> None:
        """Print the number of failures and the first of them to standard error; nothing if there are none."""
        if self.count:
            more = ["..."] if self.count > len(self._first) else []
            lines = [f"paravec: documents without a vector: {self.count:,}", *self._first, *more]
            print("\n  ".join(lines), file=sys.stderr)
