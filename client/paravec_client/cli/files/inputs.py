"""Documents from lines, JSONL, CSV, TSV or Parquet, read one at a time."""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..problems import CommandError
from .compression import is_compressed, opened
from .parquet import import_pyarrow

FORMATS = {
    "lines": (),
    "jsonl": (".jsonl", ".ndjson"),
    "csv": (".csv",),
    "tsv": (".tsv",),
    "parquet": (".parquet", ".pq"),
}
"""What can be read, and the suffixes that say so; a file with another suffix has a document on each line."""

_DELIMITERS = {"csv": ",", "tsv": "\t"}

# The largest that the C library's long holds everywhere; a field is a document.
_FIELD_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Record:
    """A document, and what it is called."""

    id: str | int | None
    """What its id field holds, or its number, from 0; None if that cannot be read."""
    place: str
    """Where it stands, for people."""
    document: Any
    """A text or a list of tokens; whatever else the field holds is for the client to refuse, None if there is none."""
    problem: str | None = None
    """Why it cannot be read, if it cannot."""


@dataclass(frozen=True)
class Source:
    """Where documents are read from."""

    path: Path | None
    """The file; None for standard input."""
    kind: str
    """One of FORMATS."""
    field: str
    """Field or column of the document, unless it is a line."""
    id_field: str | None
    """Field or column of its id."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return str(self.path or "standard input")

    def records(self) -> Iterator[Record]:
        """The documents in order. CommandError for a file that cannot be opened, at once, or read any further, where
        that is met; a line that cannot be read is a record with a problem."""
        if self.kind == "parquet":
            return self._parquet()
        try:
            file = opened(self.path) if self.path else sys.stdin.buffer
        except OSError as error:
            raise CommandError(f"{self.name}: {error.strerror}") from error
        lines = _Lines(file, self.name)
        if self.kind in _DELIMITERS:
            return self._csv(lines, _DELIMITERS[self.kind])
        return self._jsonl(lines) if self.kind == "jsonl" else self._plain(lines)

    def expected(self) -> int | None:
        """About how many documents there are, if that is quickly told."""
        if (
            self.path is None
            or not self.path.is_file()
            or self.kind not in ("lines", "jsonl")
            or is_compressed(self.path)
        ):
            return None
        with self.path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(2**20), b""))

    def _plain(self, lines: "_Lines") -> Iterator[Record]:
        for number, line in enumerate(lines):
            problem = lines.problem()
            yield Record(number, lines.place, None if problem else line.rstrip("\r\n"), problem)

    def _jsonl(self, lines: "_Lines") -> Iterator[Record]:
        for number, line in enumerate(line for line in lines if line.strip()):
            problem, fields = lines.problem(), None
            if problem is None:
                try:
                    fields = json.loads(line)
                except (ValueError, RecursionError):
                    problem = "is not JSON"
                else:
                    if not isinstance(fields, dict):
                        problem = f"must be a JSON object, not {type(fields).__name__}"
            yield self._record(number, lines.place, fields, problem)

    def _csv(self, lines: "_Lines", delimiter: str) -> Iterator[Record]:
        csv.field_size_limit(_FIELD_LIMIT)
        rows = csv.reader(lines, strict=True, delimiter=delimiter)
        try:
            header = next(rows, [])
        except csv.Error as error:
            raise CommandError(f"{lines.place}: is not {self.kind.upper()}: {error}", 1) from error
        if problem := lines.problem():
            raise CommandError(f"{lines.place}: {problem}", 1)
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
                row, problem = [], f"is not {self.kind.upper()}: {error}"
            else:
                if not row:
                    continue
                problem = None
                if len(row) != len(header):
                    problem = f"has {len(row)} columns, the header has {len(header)}"
            problem = lines.problem() or problem
            yield self._record(number, lines.place, None if problem else dict(zip(header, row, strict=True)), problem)
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

    def _record(self, number: int, place: str, fields: dict[str, Any] | None, problem: str | None = None) -> Record:
        if problem is not None or fields is None:
            return Record(number if self.id_field is None else None, place, None, problem)
        called = number if self.id_field is None else fields.get(self.id_field)
        if not isinstance(called, str | int) or isinstance(called, bool):
            return Record(None, place, None, f"field {self.id_field!r} must hold a string or a whole number, as its id")
        return Record(called, place, fields.get(self.field))


LINES = Source(None, "lines", "text", None)
"""The lines of standard input."""


def given(texts: list[str]) -> Iterator[Record]:
    """Texts of the command line."""
    for number, text in enumerate(texts):
        yield Record(number, f"text {number + 1}", text)


class _Lines:
    """The lines of a file, and what is wrong with those that were read last."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._number = 0
        self._problem: str | None = None

    @property
    def place(self) -> str:
        """Where the last line stands."""
        return f"{self._name}, line {self._number}"

    def problem(self) -> str | None:
        """What is wrong with the lines since this was asked before."""
        problem, self._problem = self._problem, None
        return problem

    def __iter__(self) -> Iterator[str]:
        with self._file:
            while raw := self._next():
                self._number += 1
                try:
                    line = raw.decode()
                except UnicodeDecodeError as error:
                    self._problem = f"is not UTF-8 ({error.reason}); convert it, iconv does"
                    line = raw.decode(errors="replace")
                yield line.removeprefix("\ufeff") if self._number == 1 else line

    def _next(self) -> bytes:
        try:
            return self._file.readline()
        except Exception as error:
            # Each compression has errors of its own kind.
            problem = "is cut off or damaged, or is not compressed as its suffix says"
            raise CommandError(f"{self._name}: {getattr(error, 'strerror', None) or problem}", 1) from error
