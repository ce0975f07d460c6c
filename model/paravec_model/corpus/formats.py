"""Corpora in files: iterated one document at a time, any number of times, without loading them into memory.

A document is `(tags, text)`. Without tags in the corpus, a document's tag is its number, from 0. Blank documents are
numbered, but skipped. Errors are CorpusErrors that name the file and the line.
"""

import csv
import importlib.util
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import CorpusError

Tags = list[str | int]
Document = tuple[Tags, str]

# A field holds a whole document. The csv module takes a C long, which has 32 bits on some platforms.
_MAX_FIELD_CHARACTERS = 2**31 - 1

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Record(NamedTuple):
    """A document as it stands in a corpus, which may be blank."""

    where: str
    """The file and line, for errors."""
    tags: Tags
    texts: list[str]
    """The text of each field; one where a format has no fields."""


class Corpus(ABC):
    """Documents that can be iterated any number of times; each iteration opens the files again.

    Iterating gives the first field of each document; `records` gives all fields.
    """

    kind: str
    """Name of the format, or of a built-in corpus, for the manifest."""
    path: Path
    """The file or folder."""

    def __iter__(self) -> Iterator[Document]:
        empty = True
        for _, tags, (text, *_) in self.records():
            if text and not text.isspace():
                empty = False
                yield tags, text
        if empty:
            raise CorpusError(f"{self.path}: holds no documents")

    def records(self) -> Iterator[Record]:
        """All documents with all of their fields, blank documents too."""
        try:
            for record in self._records():
                if not all(map(is_unicode, record.tags)):
                    raise CorpusError(f"{record.where}: its tag or id has a lone surrogate, which UTF-8 cannot carry")
                yield record
        except OSError as error:
            raise CorpusError(f"{error.filename or self.path}: {error.strerror or error}") from error

    @abstractmethod
    def _records(self) -> Iterator[Record]:
        """As `records`; may raise OSError."""


@dataclass(frozen=True)
class LinesCorpus(Corpus):
    """A text file in UTF-8, one document a line; the tag is the line's number, from 0."""

    path: Path
    """The file."""
    kind: str = "lines"

    def _records(self) -> Iterator[Record]:
        for number, line in numbered_lines(self.path):
            yield Record(f"{self.path}, line {number + 1}", [number], [line.rstrip("\r\n")])


@dataclass(frozen=True)
class JsonlCorpus(Corpus):
    """A file with one JSON object a line; without a tag field, the tag is the line's number, from 0."""

    path: Path
    """The file."""
    fields: str | Sequence[str]
    """The field that holds the text, or several."""
    tag_field: str | None = None
    """The field that holds the tag: a string, an integer, or a list of these for several tags."""
    kind: str = "jsonl"

    def _records(self) -> Iterator[Record]:
        names = _names(self.fields)
        for number, line in numbered_lines(self.path):
            if not line.strip():
                continue
            where = f"{self.path}, line {number + 1}"
            record = _parse_json(line.rstrip(), where)
            texts = [_value(record, name, where) for name in names]
            for name, text in zip(names, texts, strict=True):
                if not isinstance(text, str):
                    raise CorpusError(f"{where}: field {name!r} must be a string, not {_kind(text)}")
            tags: Tags = [number]
            if self.tag_field is not None:
                tags = _tags(_value(record, self.tag_field, where), where)
            yield Record(where, tags, texts)


@dataclass(frozen=True)
class CsvCorpus(Corpus):
    """A CSV file with a header; without a tag column, the tag is the row's number, from 0."""

    path: Path
    """The file."""
    columns: str | Sequence[str]
    """Name of the column that holds the text, or of several."""
    tag_column: str | None = None
    """Name of the column that holds the tag."""
    kind: str = "csv"

    def _records(self) -> Iterator[Record]:
        csv.field_size_limit(_MAX_FIELD_CHARACTERS)
        rows = csv.reader((line for _, line in numbered_lines(self.path)), strict=True)
        try:
            if (header := next(rows, None)) is None:
                return
            texts = [self._position(header, column) for column in _names(self.columns)]
            tag = None if self.tag_column is None else self._position(header, self.tag_column)
            for number, row in enumerate(row for row in rows if row):
                where = f"{self.path}, line {rows.line_num}"
                if len(row) != len(header):
                    raise CorpusError(f"{where}: has {len(row)} columns, the header has {len(header)}")
                yield Record(where, [number if tag is None else row[tag]], [row[text] for text in texts])
        except csv.Error as error:
            raise CorpusError(f"{self.path}, line {rows.line_num}: is not CSV: {error}") from error

    def _position(self, header: list[str], column: str) -> int:
        if header.count(column) != 1:
            problem = "no column" if column not in header else "more than one column"
            raise CorpusError(f"{self.path}, line 1: has {problem} {column!r}; the header is {_excerpt(header)}")
        return header.index(column)


@dataclass(frozen=True)
class FolderCorpus(Corpus):
    """All *.txt files (UTF-8) below a folder, sorted by path; the tag is the path relative to the folder."""

    path: Path
    """The folder."""
    kind: str = "folder"

    def _records(self) -> Iterator[Record]:
        for name in _text_files(self.path):
            file = self.path / name
            yield Record(str(file), [name], [_decode(file.read_bytes(), file, 0)])


def is_unicode(tag: str | int) -> bool:
    r"""Whether UTF-8 can carry a tag: no text with a lone surrogate, as JSON's "\ud800" or a file's name in another
    encoding has one."""
    return not isinstance(tag, str) or not _LONE_SURROGATE.search(tag)


NAMES = ("lee",)
"""The corpora that installed packages contain."""


def named_corpus(name: str) -> Corpus:
    """The built-in corpus called `name`: "lee", 300 news stories of 2001 among gensim's test data."""
    if name not in NAMES:
        raise CorpusError(f"{name}: is not a built-in corpus; the only one is {', '.join(NAMES)}")
    # find_spec does not import gensim, which takes seconds.
    spec = importlib.util.find_spec("gensim")
    if spec is None or not spec.submodule_search_locations:
        raise CorpusError("lee: is part of gensim, which is not installed: pip install 'paravec[model]'")
    return LinesCorpus(Path(spec.submodule_search_locations[0], "test", "test_data", "lee_background.cor"), "lee")


def _names(fields: str | Sequence[str]) -> Sequence[str]:
    return [fields] if isinstance(fields, str) else fields


def _text_files(folder: Path) -> list[str]:
    def refuse(error: OSError) -> None:
        raise error

    # Path.rglob skips a folder without read permission silently.
    found = (Path(parent, name) for parent, _, names in os.walk(folder, onerror=refuse) for name in names)
    return sorted(file.relative_to(folder).as_posix() for file in found if file.suffix == ".txt")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their numbers, from 0; CorpusError names the first that is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file):
            yield number, _decode(line, path, number)


def _decode(raw: bytes, path: Path, line: int) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line += 1 + raw.count(b"\n", 0, error.start)
        raise CorpusError(f"{path}, line {line}: is not UTF-8 ({error.reason}); convert it with iconv") from None
    return text.removeprefix("\ufeff") if line == 0 else text


def _parse_json(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise CorpusError(f"{where}: is not JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        # An integer of too many digits, or nesting that is too deep.
        raise CorpusError(f"{where}: is not JSON that can be read: {error}") from error
    if not isinstance(record, dict):
        raise CorpusError(f"{where}: must be a JSON object, not {_kind(record)}")
    return record


def _value(record: dict[str, Any], field: str, where: str) -> Any:
    if field not in record:
        raise CorpusError(f"{where}: has no field {field!r}; its fields are {_excerpt(list(record))}")
    return record[field]


def _tags(value: Any, where: str) -> Tags:
    tags = value if isinstance(value, list) else [value]
    if not tags or not all(type(tag) in (str, int) for tag in tags):
        raise CorpusError(f"{where}: a tag must be a string, an integer, or a list of these, not {_excerpt(value)}")
    return tags


def _kind(value: Any) -> str:
    """The type of a value of JSON. The value itself may hold a document's text, which errors do not quote."""
    kinds = {list: "a list", dict: "an object", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _excerpt(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else text[:100] + "..."
