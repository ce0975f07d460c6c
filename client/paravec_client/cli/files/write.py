"""Embeds records into an output file, saves the state to resume from, and shows progress."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain, islice
from typing import Literal

from ... import EmbeddingClient, InferenceOptions
from ..errors import CommandError
from . import outputs
from .compression import MemberWriter, compression_of
from .inputs import Record
from .outcomes import FailureSummary, embed_records
from .partial_output import InputDigest, PartialOutput, ResumeState

# Seconds between two saved states: the work that a crash can lose.
_SAVE_SECONDS = 1.0


def write(
    client: EmbeddingClient,
    records: Iterator[Record],
    options: InferenceOptions,
    partial_output: PartialOutput,
    output_format: str,
    on_error: Literal["fail", "skip", "null"],
    expected_count: Callable[[], int | None],
) -> None:
    """Embed the records that `partial_output` does not have yet, and complete it.

    `expected_count` returns the number of records, for the progress bar; None if it is unknown.
    """
    model = client.model()
    set_options = {name: value for name, value in asdict(options).items() if value is not None}
    state = partial_output.load_state({"model": model.digest, "options": set_options, "format": output_format})
    first = next(records, None)
    records = chain([first] if first else [], records)
    digest = _skip_done(records, state, partial_output)
    failures = FailureSummary(state.failed)
    with partial_output.open(state) as file:
        compression = compression_of(partial_output.path)
        target = MemberWriter(file, compression) if compression else file
        output = outputs.FORMATS[output_format](target, model, type(first.id) if first else str)

        def save() -> float:
            state.size, state.input_digest, state.failed = output.flush(), str(digest), failures.count
            partial_output.save_state(state)
            return time.monotonic() + _SAVE_SECONDS

        next_save = save()
        try:
            with _progress_bar(expected_count, state.documents) as advance:
                for outcome in embed_records(client, records, options, fail=on_error == "fail"):
                    failures.add(outcome)
                    if outcome.embedding or on_error == "null":
                        output.add(outcome)
                    digest.add(outcome.record)
                    state.documents += 1
                    advance()
                    if time.monotonic() > next_save:
                        next_save = save()
        except BaseException:
            if state.documents:
                save()
                print(f"paravec: {partial_output.path}: {state.documents:,} documents are done; --resume continues",
                      file=sys.stderr)  # fmt: skip
            else:
                partial_output.discard()
            raise
        save()
        output.finish(partial_output.partial, partial_output.path)
    partial_output.delete_state()
    failures.print()


def _skip_done(records: Iterator[Record], state: ResumeState, partial_output: PartialOutput) -> InputDigest:
    """Read past the documents that are done; CommandError if they differ from those of the earlier run."""
    digest = InputDigest()
    for record in islice(records, state.documents):
        digest.add(record)
    if state.documents and str(digest) != state.input_digest:
        raise CommandError(f"{partial_output.path}: was started with another input or other ids; --force starts again")
    return digest


@contextmanager
def _progress_bar(expected_count: Callable[[], int | None], done: int) -> Iterator[Callable[[], object]]:
    """A function to call after each document. Shows a bar on a terminal if tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda: None
        return
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with tqdm(total=expected_count(), initial=done, unit=" documents", unit_scale=True, smoothing=0.1) as bar:
        yield bar.update
