"""From documents to a file of vectors, with what it takes to go on after an interruption."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import chain, islice
from typing import Literal

from ... import EmbeddingClient, InferenceOptions
from ..problems import CommandError
from ..progress import progress
from . import outputs
from .compression import Members, compression_of
from .inputs import Record
from .outcomes import Faults, outcomes
from .partial_output import DocumentsDigest, State, Unfinished

# Seconds of work that a crash may cost.
_BETWEEN_STATES = 1.0


def write(
    client: EmbeddingClient,
    records: Iterator[Record],
    options: InferenceOptions,
    unfinished: Unfinished,
    kind: str,
    on_error: Literal["fail", "skip", "null"],
    expected: Callable[[], int | None],
) -> None:
    """Embed what is not yet in `unfinished`, and make it whole. `expected`: how many documents there may be."""
    model = client.model()
    asked = {name: value for name, value in asdict(options).items() if value is not None}
    state = unfinished.state({"model": model.digest, "options": asked, "format": kind})
    first = next(records, None)
    records = chain([first] if first else [], records)
    digest = _pass_over(records, state, unfinished)
    faults = Faults(state.failed)
    with unfinished.opened(state) as file:
        compression = compression_of(unfinished.path)
        whole = Members(file, compression) if compression else file
        output = outputs.FORMATS[kind](whole, model, type(first.id) if first else str)

        def keep() -> float:
            state.size, state.read, state.failed = output.settle(), str(digest), faults.count
            unfinished.keep(state)
            return time.monotonic() + _BETWEEN_STATES

        due = keep()
        try:
            with progress(expected, state.documents) as step:
                for outcome in outcomes(client, records, options, fail=on_error == "fail"):
                    faults.note(outcome)
                    if outcome.embedding or on_error == "null":
                        output.add(outcome)
                    digest.add(outcome.record)
                    state.documents += 1
                    step()
                    if time.monotonic() > due:
                        due = keep()
        except BaseException:
            if state.documents:
                keep()
                print(f"paravec: {unfinished.path}: {state.documents:,} documents are done; --resume goes on",
                      file=sys.stderr)  # fmt: skip
            else:
                unfinished.discard()
            raise
        keep()
        output.finish(unfinished.partial, unfinished.path)
    unfinished.forget()
    faults.tell()


def _pass_over(records: Iterator[Record], state: State, unfinished: Unfinished) -> DocumentsDigest:
    """Read the documents that are done; CommandError if they are not the same."""
    digest = DocumentsDigest()
    for record in islice(records, state.documents):
        digest.add(record)
    if state.documents and str(digest) != state.read:
        raise CommandError(f"{unfinished.path}: was begun with another input, or other ids; --force begins anew")
    return digest
