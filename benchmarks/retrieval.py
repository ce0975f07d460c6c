"""Corpora with tasks of retrieval, to measure quality on. They come with gensim and packages of Debian."""

import ast
import gzip
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from gensim.test.utils import datapath

from benchmarks.models import corpus_texts
from paravec_model.evaluation.tasks import MIN_TOKENS_TO_CUT, Task, distinct, halves, short_halves
from paravec_model.text.tokenizer import SimpleTokenizer

Tokens = list[str]
Item = TypeVar("Item")

FAQ = Path("/usr/share/doc/debian/FAQ/debian-faq.en.txt.gz")
FORTUNES = Path("/usr/share/games/fortunes")
PYTHON = Path("/usr/lib/python3.11")

# Maximum of documents per task, spread evenly over the corpus.
_MAX_DOCUMENTS = 400


@dataclass(frozen=True)
class Ratings:
    """Documents, and people's ratings of their similarity."""

    name: str
    documents: list[Tokens]
    ratings: npt.NDArray[np.float64]
    """Shape (documents, documents)."""


@dataclass(frozen=True)
class Collection:
    """Training documents, the ones that λ is chosen on, and tasks on others."""

    documents: Sequence[Sequence[str]]
    lambda_documents: Sequence[Sequence[str]]
    tasks: list[Task | Ratings] = field(default_factory=list)

    @classmethod
    def without_queries(cls, others: Iterable[Sequence[str]], tasks: list[Task | Ratings]) -> "Collection":
        """Train what queries should find, and others, which λ is chosen on, but no query: users' texts are new."""
        retrieval = [task for task in tasks if isinstance(task, Task)]
        queries = {tuple(query) for task in retrieval for query in task.queries}
        targets = distinct(target for task in retrieval for target in task.targets if tuple(target) not in queries)
        asked = queries.union(map(tuple, targets))
        kept = [tokens for tokens in distinct(others) if tuple(tokens) not in asked]
        return cls(kept + targets, kept, tasks)


def some_halves(documents: Sequence[Sequence[str]]) -> Task:
    """The task that one half of a document retrieves the other."""
    return halves(evenly([tokens for tokens in distinct(documents) if len(tokens) >= MIN_TOKENS_TO_CUT]))


def titles(texts: Iterable[str], shortest_title: int = 1, shortest_body: int = 1) -> Task:
    """The task that the first line of a text retrieves the others. Lengths are in tokens."""
    tokenize = SimpleTokenizer()
    pairs = [tuple(map(tokenize, text.split("\n", 1))) for text in texts if "\n" in text]
    some = [(title, body) for title, body in pairs if len(title) >= shortest_title and len(body) >= shortest_body]
    return Task.paired("title finds body", evenly(some))


def evenly(items: Sequence[Any], size: int = _MAX_DOCUMENTS) -> list[Any]:
    """At most `size` items, spread evenly."""
    return list(items[:: max(1, -(-len(items) // size))])


def split(items: Sequence[Item], tasks: int = 1) -> list[list[Item]]:
    """Items for each task, at most half of all and spread evenly, and last the rest. No item is in two of them."""
    step = max(2 * tasks, -(-len(items) // _MAX_DOCUMENTS))
    return [*(list(items[n::step]) for n in range(tasks)), [item for n, item in enumerate(items) if n % step >= tasks]]


def different(items: Iterable[Item], tokens_of: Callable[[Item], Sequence[str]]) -> list[Item]:
    """The items without those that have the same tokens as another."""
    return list({tuple(tokens_of(item)): item for item in items}.values())


def lee() -> Collection:
    """gensim's test data: 300 news stories, and 50 others with similarity ratings (Lee, Pincombe, Welsh 2005)."""
    tokenize = SimpleTokenizer()
    cut, others = split(distinct(tokenize(text) for text in corpus_texts("lee")))
    rated = [tokenize(line) for line in Path(datapath("lee.cor")).read_text("latin-1").splitlines() if line.strip()]
    ratings = np.loadtxt(datapath("similarities0-1.txt"))
    similarity = Ratings("people's ratings (r)", rated, (ratings + ratings.T) / 2)
    return Collection.without_queries(others, [some_halves(cut), similarity])


def help_pages(name: str) -> Collection:
    """LibreOffice's help. The first line of a page is its title."""
    tokenize = SimpleTokenizer()
    cut, titled, others = split(different(corpus_texts(name), tokenize), tasks=2)
    tasks: list[Task | Ratings] = [some_halves([tokenize(page) for page in cut]), titles(titled)]
    return Collection.without_queries(map(tokenize, others), tasks)


def faq() -> Collection:
    """Debian's FAQ, trained together with LibreOffice's English help; λ is chosen on the help."""
    tokenize = SimpleTokenizer()
    text = gzip.decompress(FAQ.read_bytes()).decode("utf-8")
    pieces = re.split(r"^(\d+\.[\d.]+\s\S(?:.+\n)+)\n", text, flags=re.MULTILINE)
    entries = [
        (tokenize(question), tokenize(answer)) for question, answer in zip(pieces[1::2], pieces[2::2], strict=True)
    ]
    return _faq(entries, "libreoffice-help-en-us")


def italian_faq() -> Collection:
    """Debian's FAQ in Italian, trained together with LibreOffice's Italian help; λ is chosen on the help."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "client/examples"))
    from faq_engine.debian import entries

    tokenize = SimpleTokenizer()
    pairs = [(tokenize(entry["question"]), tokenize(entry["answer"])) for entry in entries("it")]
    return _faq(pairs, "libreoffice-help-it")


def _faq(entries: Sequence[tuple[Tokens, Tokens]], corpus: str) -> Collection:
    asked = [(question, answer) for question, answer in entries if question and len(answer) >= 8]
    pages = map(SimpleTokenizer(), corpus_texts(corpus))
    return Collection.without_queries(pages, [Task.paired("question finds answer", asked)])


def docstrings() -> Collection:
    """The docstrings of the library of Debian's Python 3.11. The first line of one is its title."""
    tokenize = SimpleTokenizer()
    texts = different(sorted(set(_docstrings(PYTHON))), tokenize)
    cut, titled, others = split([text for text in texts if "\n" in text], tasks=2)
    others += [text for text in texts if "\n" not in text]
    tasks: list[Task | Ratings] = [some_halves([tokenize(text) for text in cut]), titles(titled, 3, 8)]
    return Collection.without_queries(map(tokenize, others), tasks)


def _docstrings(folder: Path) -> Iterator[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for path in folder.rglob("*.py"):
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, ValueError):
            # Python's tests have files that cannot be read, on purpose.
            continue
        yield from filter(None, (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)))


def fortunes() -> Collection:
    """The quotations of the packages fortunes and fortunes-min, of which most are a sentence or two."""
    files = [
        path for path in sorted(FORTUNES.iterdir()) if not path.suffix and path.is_file() and not path.is_symlink()
    ]
    tokenize = SimpleTokenizer()
    quotations = (tokenize(text) for path in files for text in path.read_text().split("\n%\n"))
    # Those that begin alike would hold each other's halves.
    cut, others = split(different(quotations, lambda tokens: tokens[:12]))
    return Collection.without_queries(others, [short_halves(cut)])


def packages() -> Collection:
    """The one-line descriptions of Debian's packages; one of a source's packages should find another."""
    tokenize, descriptions = SimpleTokenizer(), dict[str, list[Tokens]]()
    listed = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True)  # noqa: S607
    for entry in listed.stdout.split("\n\n"):
        fields: dict[str, str] = dict(re.findall(r"^(Package|Source|Description): (.+)$", entry, flags=re.MULTILINE))
        if tokens := tokenize(fields.get("Description", "")):
            source = fields.get("Source", fields["Package"]).split()[0]
            descriptions.setdefault(source, []).append(tokens)
    documents = (tokens for some in descriptions.values() for tokens in some)
    siblings = [some[:2] for some in map(distinct, descriptions.values()) if len(some) > 1]
    pairs = evenly([(query, target) for query, target in siblings])
    return Collection.without_queries(documents, [Task.paired("package finds one of its source", pairs)])


COLLECTIONS: dict[str, Callable[[], Collection]] = {
    "lee": lee,
    "libreoffice-help-it": partial(help_pages, "libreoffice-help-it"),
    "libreoffice-help-en-us": partial(help_pages, "libreoffice-help-en-us"),
    "debian-faq": faq,
    "fortunes": fortunes,
    "debian-packages": packages,
}

HELD_OUT: dict[str, Callable[[], Collection]] = {"debian-faq-it": italian_faq, "python-docstrings": docstrings}
"""More corpora, for a check of what was chosen by the others."""
