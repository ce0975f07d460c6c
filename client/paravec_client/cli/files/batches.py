"""Cuts records into batches for calls that take a list, and names the record that a call's error is about."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from ... import ParavecError
from ..errors import CommandError
from .inputs import Record


def batches(records: Iterator[Record], size: int) -> Iterator[list[Record]]:
    """The records in lists of at most `size`; CommandError for one that cannot be read."""
    while batch := list(islice(records, size)):
        for record in batch:
            if record.problem:
                raise CommandError(f"{record.location}: {record.problem}", 1)
        yield batch


@contextmanager
def located(batch: Sequence[Record]) -> Iterator[None]:
    """Errors of a call with this batch name the location of a record, not its number in the batch."""
    try:
        yield
    except ParavecError as error:
        for violation in error.violations[:1]:
            if number := re.match(r"(?:queries|tags)\[(\d+)\]", violation.field):
                error.args = (f"{batch[int(number[1])].location}: {violation.description}",)
        raise
