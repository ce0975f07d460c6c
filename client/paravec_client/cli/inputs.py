"""Documents from lines, JSONL, CSV or Parquet, read one at a time."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .parquet import import_pyarrow
from .problems import CommandError

FORMATS = {"lines": (), "jsonl": (".jsonl", ".ndjson"), "csv": (".csv",), "parquet": (".parquet", ".pq")}
"""What can be read, and the suffixes that say so; a file with another suffix has a document on each line."""

# The largest that the C library's long holds everywhere; a field is a document.
_FIELD_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Record:
    """A document, and what it is called."""

    id: str | int
    """What its id field holds, or its number, from 0."""
    place: str
    """Where it stands, for people."""
    document: Any
    """A text or a list of tokens; whatever else the field holds is for the client to refuse, None if there is none."""


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
        """The documents in order. CommandError for a file that cannot be opened, at once, or read, where it is met."""
        if self.kind == "parquet":
            return self._parquet()
        readers = {"lines": self._plain, "jsonl": self._jsonl, "csv": self._csv}
        try:
            file = self.path.open("rb") if self.path else sys.stdin.buffer
        except OSError as error:
            raise CommandError(f"{self.name}: {error.strerror}") from error
        return readers[self.kind](_numbered(file, self.name))

    def expected(self) -> int | None:
        """About how many documents there are, if that is quickly told."""
        if self.path is None or not self.path.is_file() or self.kind not in ("lines", "jsonl"):
            return None
        with self.path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(2**20), b""))

    def _plain(self, lines: Iterable[tuple[str, str]]) -> Iterator[Record]:
        for number, (place, line) in enumerate(lines):
            yield Record(number, place, line.rstrip("\r\n"))

    def _jsonl(self, lines: Iterable[tuple[str, str]]) -> Iterator[Record]:
        filled = ((place, line) for place, line in lines if line.strip())
        for number, (place, line) in enumerate(filled):
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError):
                raise CommandError(f"{place}: is not JSON", 1) from None
            if not isinstance(fields, dict):
                raise CommandError(f"{place}: must be a JSON object, not {type(fields).__name__}", 1)
            yield self._record(number, place, fields)

    def _csv(self, lines: Iterable[tuple[str, str]]) -> Iterator[Record]:
        csv.field_size_limit(_FIELD_LIMIT)
        rows = csv.reader((line for _, line in lines), strict=True)
        try:
            header = next(rows, [])
            for name in filter(None, (self.field, self.id_field)):
                if header.count(name) != 1:
                    problem = "no column" if name not in header else "more than one column"
                    raise CommandError(f"{self.name}, line 1: has {problem} {name!r}; --field and --id-field name them")
            for number, row in enumerate(row for row in rows if row):
                place = f"{self.name}, line {rows.line_num}"
                if len(row) != len(header):
                    raise CommandError(f"{place}: has {len(row)} columns, the header has {len(header)}", 1)
                yield self._record(number, place, dict(zip(header, row, strict=True)))
        except csv.Error as error:
            raise CommandError(f"{self.name}, line {rows.line_num}: is not CSV: {error}", 1) from error

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

    def _record(self, number: int, place: str, fields: dict[str, Any]) -> Record:
        called = number if self.id_field is None else fields.get(self.id_field)
        if not isinstance(called, str | int) or isinstance(called, bool):
            raise CommandError(f"{place}: field {self.id_field!r} must hold a string or a whole number, as its id", 1)
        return Record(called, place, fields.get(self.field))


LINES = Source(None, "lines", "text", None)
"""The lines of standard input."""


def given(texts: list[str]) -> Iterator[Record]:
    """Texts of the command line."""
    for number, text in enumerate(texts):
        yield Record(number, f"text {number + 1}", text)


def _numbered(file: BinaryIO, name: str) -> Iterator[tuple[str, str]]:
    """Where each line stands, and the line."""
    with file:
        for number, raw in enumerate(file, 1):
            place = f"{name}, line {number}"
            try:
                line = raw.decode()
            except UnicodeDecodeError as error:
                raise CommandError(f"{place}: is not UTF-8 ({error.reason}); convert it, iconv does", 1) from None
            yield place, line.removeprefix("\ufeff") if number == 1 else line
