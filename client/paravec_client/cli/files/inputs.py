"""Reads documents from text lines, JSONL, CSV, TSV or Parquet, one at a time."""

import csv
import errno
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import CommandError
from ..optional import import_pyarrow
from .compression import is_compressed, open_decompressed

FORMATS = {
    "lines": (),
    "jsonl": (".jsonl", ".ndjson"),
    "csv": (".csv",),
    "tsv": (".tsv",),
    "parquet": (".parquet", ".pq"),
}
"""Input formats with their suffixes. Files with other suffixes are read as lines."""

_DELIMITERS = {"csv": ",", "tsv": "\t"}

# csv's default limit is too low for a document. This is the largest value that fits a C long on every platform.
_CSV_FIELD_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Record:
    """One document of an input."""

    id: str | int | None
    """The value of the id field; without an id field, the document's number from 0. None if it cannot be read."""
    location: str
    """File and line or row, for messages."""
    document: Any
    """A text or a list of tokens. None if there is none; the client rejects other values."""
    problem: str | None = None
    """Why the record cannot be read; None if it can."""


@dataclass(frozen=True)
class Source:
    """An input: a file and how to read it."""

    path: Path | None
    """The file; None for standard input."""
    format: str
    """A key of FORMATS."""
    field: str
    """Field or column of the document; unused for lines."""
    id_field: str | None
    """Field or column of the document's id; None to number documents."""

    @property
    def name(self) -> str:
        """The input's name in messages."""
        return str(self.path or "standard input")

    def records(self) -> Iterator[Record]:
        """The documents in order. A line that cannot be read is a record with a problem.

        Raises CommandError at once if the file cannot be opened, and while iterating if it cannot be read further.
        """
        if self.format == "parquet":
            return self._parquet()
        try:
            # A reader of our own: the interpreter aborts if a thread still reads `sys.stdin` when it exits.
            file = open_decompressed(self.path) if self.path else _standard_input()
        except OSError as error:
            raise CommandError(f"{self.name}: {error.strerror}") from error
        lines = _LineReader(file, self.name)
        if self.format in _DELIMITERS:
            return self._csv(lines, _DELIMITERS[self.format])
        return self._jsonl(lines) if self.format == "jsonl" else self._plain(lines)

    def expected_count(self) -> int | None:
        """The number of lines, for formats with a document per line; None for others and for compressed files."""
        if (
            self.path is None
            or not self.path.is_file()
            or self.format not in ("lines", "jsonl")
            or is_compressed(self.path)
        ):
            return None
        with self.path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(2**20), b""))

    def _plain(self, lines: "_LineReader") -> Iterator[Record]:
        for number, line in enumerate(lines):
            problem = lines.take_problem()
            yield Record(number, lines.location, None if problem else line.rstrip("\r\n"), problem)

    def _jsonl(self, lines: "_LineReader") -> Iterator[Record]:
        for number, line in enumerate(line for line in lines if line.strip()):
            problem, fields = lines.take_problem(), None
            if problem is None:
                try:
                    fields = json.loads(line)
                except (ValueError, RecursionError):
                    problem = "is not JSON"
                else:
                    if not isinstance(fields, dict):
                        problem = f"must be a JSON object, not {type(fields).__name__}"
            yield self._record(number, lines.location, fields, problem)

    def _csv(self, lines: "_LineReader", delimiter: str) -> Iterator[Record]:
        csv.field_size_limit(_CSV_FIELD_LIMIT)
        rows = csv.reader(lines, strict=True, delimiter=delimiter)
        try:
            header = next(rows, [])
        except csv.Error as error:
            raise CommandError(f"{lines.location}: is not {self.format.upper()}: {error}", 1) from error
        if problem := lines.take_problem():
            raise CommandError(f"{lines.location}: {problem}", 1)
        for name in filter(None, (self.field, self.id_field)):
            if header.count(name) != 1:
                problem = "no column" if name not in header else "more than one column"
                raise CommandError(f"{self.name}, line 1: has {problem} {name!r}; --field and --id-field name them")
        number = 0
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                row, problem = [], f"is not {self.format.upper()}: {error}"
            else:
                if not row:
                    continue
                problem = None
                if len(row) != len(header):
                    problem = f"has {len(row)} columns, the header has {len(header)}"
            problem = lines.take_problem() or problem
            yield self._record(
                number, lines.location, None if problem else dict(zip(header, row, strict=True)), problem
            )
            number += 1

    def _parquet(self) -> Iterator[Record]:
        pyarrow = import_pyarrow()
        if self.path is None:
            raise CommandError("standard input: cannot be read as Parquet; give --input FILE")
        try:
            file = pyarrow.parquet.ParquetFile(self.path)
        except OSError as error:
            raise CommandError(f"{self.name}: {error.strerror or 'cannot be read'}") from error
        except pyarrow.ArrowException:
            raise CommandError(f"{self.name}: is not Parquet") from None
        names = list(filter(None, (self.field, self.id_field)))
        for name in names:
            if name not in file.schema_arrow.names:
                raise CommandError(f"{self.name}: has no column {name!r}; --field and --id-field name them")
        rows = (row for batch in file.iter_batches(1024, columns=names) for row in batch.to_pylist())
        return (self._record(number, f"{self.name}, row {number + 1}", row) for number, row in enumerate(rows))

    def _record(self, number: int, location: str, fields: dict[str, Any] | None, problem: str | None = None) -> Record:
        if problem is not None or fields is None:
            return Record(number if self.id_field is None else None, location, None, problem)
        id_value = number if self.id_field is None else fields.get(self.id_field)
        if not isinstance(id_value, str | int) or isinstance(id_value, bool):
            problem = f"field {self.id_field!r} must hold a string or a whole number, as the document's id"
            return Record(None, location, None, problem)
        return Record(id_value, location, fields.get(self.field))


STANDARD_INPUT_LINES = Source(None, "lines", "text", None)
"""The lines of standard input as documents."""


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        # It was closed at the start; its number may be another file's now.
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    # Node and others make a pipe non-blocking, and an empty one would then look like the end.
    os.set_blocking(0, True)
    return os.fdopen(0, "rb", closefd=False)


def text_records(texts: list[str], kind: str = "text") -> Iterator[Record]:
    """Records for texts of the command line; `kind` names them in messages."""
    for number, text in enumerate(texts):
        yield Record(number, f"{kind} {number + 1}", text)


class _LineReader:
    """Decodes the lines of a file, and remembers the problem and location of the last ones."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._number = 0
        self._problem: str | None = None

    @property
    def location(self) -> str:
        """File and number of the last line."""
        return f"{self._name}, line {self._number}"

    def take_problem(self) -> str | None:
        """The problem of the lines since the last call, such as those of one CSV row; None if they are fine."""
        problem, self._problem = self._problem, None
        return problem

    def __iter__(self) -> Iterator[str]:
        with self._file:
            while raw := self._read_line():
                self._number += 1
                try:
                    line = raw.decode()
                except UnicodeDecodeError as error:
                    self._problem = f"is not UTF-8 ({error.reason}); convert it, e.g. with iconv"
                    line = raw.decode(errors="replace")
                yield line.removeprefix("\ufeff") if self._number == 1 else line

    def _read_line(self) -> bytes:
        try:
            return self._file.readline()
        except Exception as error:
            # Each compression library has its own exception types.
            problem = "is cut off or damaged, or not compressed as its suffix says"
            raise CommandError(f"{self._name}: {getattr(error, 'strerror', None) or problem}", 1) from error
