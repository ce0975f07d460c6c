"""What a model is tried on: documents drawn from a corpus, and the user's own pairs and judgements."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..corpus.formats import Corpus, JsonlCorpus, Tags, numbered_lines
from ..corpus.reservoir import Sample
from ..errors import CorpusError
from .metrics import Relevance

Tokens = Sequence[str]

SHORTEST = 16
"""Tokens of a document that is worth cutting in two."""

# Tokens of a short query.
_QUERY = 6


@dataclass(frozen=True)
class Task:
    """Queries, each of which should find what is relevant to it among the targets."""

    name: str
    queries: Sequence[Tokens]
    targets: Sequence[Tokens]
    relevant: Sequence[Relevance]
    """For each query, the grades of the targets that it should find."""

    @classmethod
    def paired(cls, name: str, pairs: Iterable[tuple[Tokens, Tokens]]) -> "Task":
        """Each query should find the target of its own number."""
        queries, targets = zip(*pairs, strict=True)
        return cls(name, queries, targets, [{number: 1.0} for number in range(len(queries))])


def halves(documents: Iterable[Tokens]) -> Task:
    """The even tokens of a document look for its odd ones; documents of fewer than SHORTEST tokens are left out.

    One document at least must be longer; so it is for `pieces`.
    """
    return Task.paired("half finds half", ((d[::2], d[1::2]) for d in documents if len(d) >= SHORTEST))


def pieces(documents: Iterable[Tokens]) -> Task:
    """Six tokens from all over a document look for its others, as short queries do for long texts."""
    return Task.paired("six tokens find the rest", (_piece(d) for d in documents if len(d) >= SHORTEST))


def _piece(tokens: Tokens) -> tuple[Tokens, Tokens]:
    step = len(tokens) // _QUERY
    chosen = range(0, step * _QUERY, step)
    return [tokens[i] for i in chosen], [token for i, token in enumerate(tokens) if i not in chosen]


def distinct(documents: Iterable[Tokens]) -> list[Tokens]:
    """The documents without those that repeat an earlier one: nothing could tell the two apart."""
    return list({tuple(tokens): tokens for tokens in documents}.values())


def draw(corpus: Corpus, size: int) -> list[tuple[Tags, str]]:
    """At most so many documents, from all over a corpus that need not fit in memory; no text twice."""
    sample = Sample[tuple[Tags, str]](size)
    for document in corpus:
        sample.add(document)
    return list({text: (tags, text) for tags, text in sample.items}.values())


@dataclass(frozen=True)
class Pairs:
    """Texts that belong together, and where people said so, how alike they are."""

    left: list[str]
    right: list[str]
    scores: list[float] | None


def read_pairs(path: Path) -> Pairs:
    """`text TAB text` on each line, or `text TAB text TAB score`; all lines with a score, or none."""
    rows = [(number, line.split("\t")) for number, line in _text_lines(path)]
    width = len(rows[0][1])
    for number, row in rows:
        if len(row) not in (2, 3) or len(row) != width:
            raise CorpusError(
                f"{path}, line {number}: has {len(row)} columns; each is text TAB text, or each has a score as third"
            )
    columns = list(zip(*(row for _, row in rows), strict=True))
    scores = [_number(row[2], f"{path}, line {number}") for number, row in rows] if width == 3 else None
    return Pairs(list(columns[0]), list(columns[1]), scores)


@dataclass(frozen=True)
class Judgements:
    """Queries and documents, and which of these people found relevant to which of those."""

    queries: list[str]
    documents: list[str]
    relevant: list[Relevance]
    """For each query."""


def read_judgements(queries: Path, documents: Path, judgements: Path) -> Judgements:
    """Read queries and documents, JSON lines with `id` and `text`, and judgements in the form of TREC's qrels.

    A line of these is `query-id iteration document-id grade`; the iteration is ignored, a grade of 0 or less says not
    relevant. Queries without a relevant document are left out, since nothing can be measured by them.
    """
    texts, places = {}, {}
    for path in (queries, documents):
        entries = list(JsonlCorpus(path, "text", "id"))
        texts[path] = [text for _, text in entries]
        places[path] = {str(tags[0]): number for number, (tags, _) in enumerate(entries)}
        if len(places[path]) != len(entries):
            raise CorpusError(f"{path}: has the same id twice; each needs its own")
    relevant: dict[int, dict[int, float]] = {}
    for number, line in _text_lines(judgements):
        row, where = line.split(), f"{judgements}, line {number}"
        if len(row) != 4:
            raise CorpusError(f"{where}: has {len(row)} columns, needs 4: query-id iteration document-id grade")
        for path, name in ((queries, row[0]), (documents, row[2])):
            if name not in places[path]:
                raise CorpusError(f"{where}: {path} has no id {name!r}")
        if (grade := _number(row[3], where)) > 0:
            relevant.setdefault(places[queries][row[0]], {})[places[documents][row[2]]] = grade
    if not relevant:
        raise CorpusError(f"{judgements}: finds no document relevant to any query")
    return Judgements([texts[queries][q] for q in relevant], texts[documents], list(relevant.values()))


def _text_lines(path: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, numbered from 1; CorpusError if there is none or the file cannot be read."""
    try:
        lines = [(number + 1, line.rstrip("\r\n")) for number, line in numbered_lines(path) if line.strip()]
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror or error}") from error
    if not lines:
        raise CorpusError(f"{path}: is empty")
    return lines


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise CorpusError(f"{where}: {text!r} is not a number")
    return value
