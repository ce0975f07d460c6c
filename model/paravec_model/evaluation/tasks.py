"""Retrieval tasks, made of a corpus or of the user's own pairs and judgements."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..corpus.formats import Corpus, JsonlCorpus, Tags, numbered_lines
from ..corpus.streaming import Reservoir
from ..errors import CorpusError
from .metrics import Relevance

Tokens = Sequence[str]

MIN_TOKENS_TO_CUT = 16
"""Shorter documents are not cut into parts that should find each other."""

MIN_TOKENS_OF_SHORT = 6
"""Shorter documents are not cut into two short texts."""

# A typical search query.
_QUERY_TOKENS = 6


@dataclass(frozen=True)
class Task:
    """Queries and targets; each query should rank the targets that are relevant to it first."""

    name: str
    queries: Sequence[Tokens]
    targets: Sequence[Tokens]
    relevant: Sequence[Relevance]
    """For each query, the grades of its relevant targets."""

    @classmethod
    def paired(cls, name: str, pairs: Iterable[tuple[Tokens, Tokens]]) -> "Task":
        """A task of (query, target) pairs, in which each query should find its own target."""
        queries, targets = zip(*pairs, strict=True)
        return cls(name, queries, targets, [{number: 1.0} for number in range(len(queries))])


def halves(documents: Iterable[Tokens]) -> Task:
    """The even tokens of a document should find its odd tokens.

    Documents below MIN_TOKENS_TO_CUT are left out; at least one must be longer.
    """
    return Task.paired("half finds half", ((d[::2], d[1::2]) for d in documents if len(d) >= MIN_TOKENS_TO_CUT))


def pieces(documents: Iterable[Tokens]) -> Task:
    """Six tokens from all over a document should find its other tokens, as a short query should find a long text.

    Documents below MIN_TOKENS_TO_CUT are left out; at least one must be longer.
    """
    return Task.paired("six tokens find the rest", (_piece(d) for d in documents if len(d) >= MIN_TOKENS_TO_CUT))


def short_halves(documents: Iterable[Tokens]) -> Task:
    """The even tokens of a document's first twelve should find the odd ones, as one short text should find another.

    Documents below MIN_TOKENS_OF_SHORT are left out, and repeated beginnings; at least one must remain.
    """
    beginnings = distinct(d[: 2 * _QUERY_TOKENS] for d in documents if len(d) >= MIN_TOKENS_OF_SHORT)
    return Task.paired("short finds short", ((d[::2], d[1::2]) for d in beginnings))


def _piece(tokens: Tokens) -> tuple[Tokens, Tokens]:
    step = len(tokens) // _QUERY_TOKENS
    chosen = range(0, step * _QUERY_TOKENS, step)
    return [tokens[i] for i in chosen], [token for i, token in enumerate(tokens) if i not in chosen]


def distinct(documents: Iterable[Tokens]) -> list[Tokens]:
    """The documents without repetitions, which no query could tell apart."""
    return list({tuple(tokens): tokens for tokens in documents}.values())


def sample_documents(corpus: Corpus, size: int) -> list[tuple[Tags, str]]:
    """A random sample of at most `size` documents, without repeated texts. The corpus need not fit into memory."""
    sample = Reservoir[tuple[Tags, str]](size)
    for document in corpus:
        sample.add(document)
    return list({text: (tags, text) for tags, text in sample.items}.values())


@dataclass(frozen=True)
class Pairs:
    """Texts that belong together."""

    left: list[str]
    right: list[str]
    scores: list[float] | None
    """People's judgement of each pair's similarity; None if there is none."""


def read_pairs(path: Path) -> Pairs:
    """Read lines of `text TAB text`, or all of `text TAB text TAB score`; CorpusError names the line at fault."""
    lines = [(number, line.split("\t")) for number, line in _text_lines(path)]
    width = len(lines[0][1])
    for number, cells in lines:
        if len(cells) not in (2, 3) or len(cells) != width:
            raise CorpusError(
                f"{path}, line {number}: has {len(cells)} columns; all lines must be text TAB text, or all"
                " text TAB text TAB score"
            )
    columns = list(zip(*(cells for _, cells in lines), strict=True))
    scores = [_number(cells[2], f"{path}, line {number}") for number, cells in lines] if width == 3 else None
    return Pairs(list(columns[0]), list(columns[1]), scores)


@dataclass(frozen=True)
class Judgements:
    """Queries, documents, and people's judgement of which documents are relevant to which query."""

    queries: list[str]
    documents: list[str]
    relevant: list[Relevance]
    """For each query, the grades of its relevant documents."""


def read_judgements(queries: Path, documents: Path, judgements: Path) -> Judgements:
    """Read queries and documents, JSON lines with `id` and `text`, and judgements in TREC's qrels format.

    A line of qrels is `query-id iteration document-id grade`. The iteration is ignored; a grade of 0 or less means not
    relevant. Queries without a relevant document are left out. CorpusError names the file and line at fault.
    """
    texts, indexes = {}, {}
    for path in (queries, documents):
        entries = list(JsonlCorpus(path, "text", "id"))
        texts[path] = [text for _, text in entries]
        indexes[path] = {str(tags[0]): index for index, (tags, _) in enumerate(entries)}
        if len(indexes[path]) != len(entries):
            raise CorpusError(f"{path}: has the same id twice; each needs its own")
    relevant: dict[int, dict[int, float]] = {}
    for number, line in _text_lines(judgements):
        cells, where = line.split(), f"{judgements}, line {number}"
        if len(cells) != 4:
            raise CorpusError(f"{where}: has {len(cells)} columns, needs 4: query-id iteration document-id grade")
        query, _, document, grade_text = cells
        for path, name in ((queries, query), (documents, document)):
            if name not in indexes[path]:
                raise CorpusError(f"{where}: {path} has no id {name!r}")
        if (grade := _number(grade_text, where)) > 0:
            relevant.setdefault(indexes[queries][query], {})[indexes[documents][document]] = grade
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
