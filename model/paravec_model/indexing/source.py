"""Where the documents of an index come from: the format, the id, and the fields with their weights."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..artifact import IndexedDocuments
from ..artifact.doctags import Tag
from ..corpus.formats import Corpus, CsvCorpus, FolderCorpus, JsonlCorpus, LinesCorpus, named_corpus
from ..errors import CorpusError, OptionError

# As JSON and Python write integers. Python refuses to convert more than 4300 digits.
_INTEGER = re.compile(r"-?[1-9][0-9]{0,999}|0")


class Document(NamedTuple):
    """A document to index."""

    id: Tag
    """Its id, which no other document has."""
    texts: list[str]
    """The text of each field."""


@dataclass(frozen=True)
class Source:
    """How files of documents are read. An index records it, so that later files are read in the same way."""

    kind: str
    """Format of the files: jsonl, csv, folder, lines, or the name of a built-in corpus."""
    id_field: str | None = None
    """Field or column of the id; None for a document's number, or its path below a folder."""
    fields: Mapping[str, float] | None = None
    """Weight of each field or column of text; None where the format has neither."""

    @classmethod
    def of(cls, index: IndexedDocuments) -> "Source":
        """The source that an index records."""
        return cls(index.source, index.id_field, index.fields)

    @property
    def weights(self) -> list[float]:
        """The weight of each text of a document."""
        return [self._fields[name] for name in sorted(self._fields)] or [1.0]

    @property
    def has_ids(self) -> bool:
        """Whether documents have ids of their own, not only numbers that other files have too."""
        return self.kind == "folder" or self.id_field is not None

    def documents(self, path: Path) -> Iterator[Document]:
        """The documents of a file or folder, without blank ones that have no id of their own.

        CorpusError names file and line of what cannot be read, and of an id that is there twice. Keeps all ids.
        """
        seen = set[Tag]()
        for where, tags, texts in self._corpus(path).records():
            if len(tags) != 1:
                raise CorpusError(f"{where}: an id must be a string or an integer, not a list of {len(tags)}")
            (tag,) = tags
            if not self.has_ids and not any(text.strip() for text in texts):
                continue
            if tag in seen:
                raise CorpusError(f"{where}: id {_quoted(tag)} is there twice; each document needs its own")
            seen.add(tag)
            yield Document(tag, texts)
        if not seen:
            raise CorpusError(f"{path}: holds no documents")

    @property
    def _fields(self) -> Mapping[str, float]:
        return self.fields or {}

    def _corpus(self, path: Path) -> Corpus:
        # In one order, so that the order of flags changes no sum.
        names = sorted(self._fields)
        match self.kind:
            case "jsonl":
                return JsonlCorpus(path, names, self.id_field)
            case "csv":
                return CsvCorpus(path, names, self.id_field)
            case "folder":
                return FolderCorpus(path)
            case "lines":
                return LinesCorpus(path)
        return named_corpus(self.kind)


def parse_ids(texts: list[str]) -> list[list[Tag]]:
    """For each id written in a shell, the ids that are written so: a text, and perhaps an integer."""
    return [[text, int(text)] if _INTEGER.fullmatch(text) else [text] for text in texts]


def field_weights(flags: list[str]) -> dict[str, float]:
    """Weights by name, of flags like `title=2` or `title`, which means 1; OptionError for a name that is there twice.

    What follows the last = is part of the name unless it is a number.
    """
    weights = dict[str, float]()
    for flag in flags:
        name, found, weight = flag.rpartition("=")
        try:
            name, value = (name, float(weight)) if found else (flag, 1.0)
        except ValueError:
            name, value = flag, 1.0
        if name in weights:
            raise OptionError("field", f"{_quoted(name)} is there twice")
        weights[name] = value
    return weights


def _quoted(value: Tag) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
