"""Compares the quality of vectors: gensim at its default and at 100 epochs, and ours; same models, same tasks.

    python -m benchmarks.quality                  # five minutes; corpora whose packages are installed
    python -m benchmarks.quality --corpus lee     # a minute

Retrieval tasks need no labels: one half of a document (its even tokens) retrieves the other half, a help page's title
its body, a question of Debian's FAQ its answer (recall@1 with its standard error). For 50 stories of Lee, cosines are
correlated with similarity ratings by people. λ of method map is chosen on documents outside the tasks.
"""

import argparse
import gzip
import json
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from client.examples.libreoffice_help import HelpError
from gensim.models.doc2vec import Doc2Vec, TaggedDocument
from gensim.test.utils import datapath

from benchmarks.models import corpus_texts
from paravec_model.artifact import Artifact
from paravec_model.convert.export import write_artifact
from paravec_model.convert.gensim_model import GensimModel
from paravec_model.encoder import Encoder
from paravec_model.evaluation.map_lambda import by_halves
from paravec_model.evaluation.metrics import pearson, rankings, recall, unit
from paravec_model.evaluation.tasks import MIN_TOKENS_TO_CUT, Task, distinct, halves
from paravec_model.options import InferenceOptions
from paravec_model.text.tokenizer import SimpleTokenizer

Tokens = list[str]
Vectors = npt.NDArray[np.floating]
Infer = Callable[[Sequence[Sequence[str]]], Vectors]

FAQ = Path("/usr/share/doc/debian/FAQ/debian-faq.en.txt.gz")

MODELS: dict[str, dict[str, Any]] = {
    "negative, d100": {"vector_size": 100},
    "negative, d300": {"vector_size": 300},
    "negative 15, sample 1e-5, d100": {"vector_size": 100, "negative": 15, "sample": 1e-5},
    "hierarchical, d100": {"vector_size": 100, "negative": 0, "hs": 1},
}

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

    documents: list[Tokens]
    lambda_documents: list[Tokens]
    tasks: list[Task | Ratings] = field(default_factory=list)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", choices=COLLECTIONS, action="append", help="a corpus; may be repeated [all]")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of training, and gensim's default [%(default)s]")
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    print("| corpus | task | DBOW model | gensim | gensim, 100 epochs | sgd | map | λ |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    rows = []
    for corpus in arguments.corpus or COLLECTIONS:
        try:
            collection = COLLECTIONS[corpus]()
        except (HelpError, OSError) as error:
            print(f"{corpus}: skipped: {error}", file=sys.stderr)
            continue
        for name, parameters in MODELS.items():
            model, encoder = train(collection, {"epochs": arguments.epochs, **parameters})
            for task in collection.tasks:
                ways = ways_of(model, encoder)
                row = {"corpus": corpus, "task": task.name, "model": name, "lambda": encoder.manifest.map_lambda}
                scores = {way: score(task, infer) for way, infer in ways.items()}
                rows.append(row | scores)
                figures = " | ".join(format_score(*scores[way]) for way in ways)
                print(f"| {corpus} | {task.name} | {name} | {figures} | {row['lambda']:g} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def ways_of(model: Doc2Vec, encoder: Encoder) -> dict[str, Infer]:
    """Each way to infer vectors, by name."""

    def gensim(epochs: int | None, documents: Sequence[Sequence[str]]) -> Vectors:
        return np.array([model.infer_vector(tokens, epochs=epochs) for tokens in documents])

    def ours(options: InferenceOptions, documents: Sequence[Sequence[str]]) -> Vectors:
        return encoder.encode(documents, options).vectors

    return {
        "gensim": partial(gensim, None),
        "gensim 100": partial(gensim, 100),
        "sgd": partial(ours, encoder.manifest.defaults),
        "map": partial(ours, InferenceOptions(method="map")),
    }


def train(collection: Collection, parameters: dict[str, Any]) -> tuple[Doc2Vec, Encoder]:
    """A gensim model, and an encoder of its artifact with a chosen λ."""
    tagged = [TaggedDocument(tokens, [i]) for i, tokens in enumerate(collection.documents)]
    model = Doc2Vec(tagged, dm=0, min_count=2, workers=1, seed=1, **parameters)
    choose = partial(by_halves, collection.lambda_documents, method="sgd")
    with tempfile.TemporaryDirectory() as folder:
        path, tokenizer = Path(folder) / "model", SimpleTokenizer()
        write_artifact(path, GensimModel(model), name="q", version="1", tokenizer=tokenizer, choose=choose)
        # The mapped files stay valid after their deletion.
        return model, Encoder(Artifact.open(path))


def score(task: Task | Ratings, infer: Infer) -> tuple[float, float]:
    """Recall@1 and its standard error, or Pearson's correlation with the ratings and 0."""
    if isinstance(task, Ratings):
        vectors = unit(infer(task.documents))
        above = np.triu_indices(len(vectors), 1)
        return pearson((vectors @ vectors.T)[above].astype(np.float64), task.ratings[above]), 0.0
    ranked = rankings(infer(task.queries), infer(task.targets), task.relevant)
    found = np.array([recall(ranking, 1) for ranking in ranked])
    return float(found.mean()), float(found.std() / len(found) ** 0.5)


def format_score(score: float, error: float) -> str:
    """A score with its standard error, if that is not 0."""
    return f"{score:.3f} ± {error:.3f}" if error else f"{score:.3f}"


def some_halves(documents: Sequence[Tokens]) -> Task:
    """The task that one half of a document retrieves the other."""
    return halves(evenly([tokens for tokens in distinct(documents) if len(tokens) >= MIN_TOKENS_TO_CUT]))


def evenly(items: Sequence[Any]) -> list[Any]:
    """At most 400 items, spread evenly."""
    return list(items[:: -(-len(items) // _MAX_DOCUMENTS)])


def lee() -> Collection:
    """gensim's test data: 300 news stories, and 50 others with similarity ratings (Lee, Pincombe, Welsh 2005)."""
    tokenize = SimpleTokenizer()
    stories = [tokenize(text) for text in corpus_texts("lee")]
    rated = [tokenize(line) for line in Path(datapath("lee.cor")).read_text("latin-1").splitlines() if line.strip()]
    ratings = np.loadtxt(datapath("similarities0-1.txt"))
    similarity = Ratings("people's ratings (r)", rated, (ratings + ratings.T) / 2)
    return Collection(stories, stories[1::2], [some_halves(stories[::2]), similarity])


def help_pages(name: str) -> Collection:
    """LibreOffice's help. The first line of a page is its title."""
    tokenize = SimpleTokenizer()
    texts = corpus_texts(name)
    pages = [tokenize(text) for text in texts]
    split = [text.split("\n", 1) for text in texts[::2] if "\n" in text]
    titled = [(title, body) for title, body in ((tokenize(t), tokenize(b)) for t, b in split) if title and body]
    return Collection(pages, pages[1::2], [some_halves(pages[::2]), Task.paired("title finds body", evenly(titled))])


def faq() -> Collection:
    """Debian's FAQ, trained together with LibreOffice's English help; λ is chosen on the help."""
    tokenize = SimpleTokenizer()
    text = gzip.decompress(FAQ.read_bytes()).decode("utf-8")
    pieces = re.split(r"^(\d+\.[\d.]+\s\S(?:.+\n)+)\n", text, flags=re.MULTILINE)
    entries = [
        (tokenize(question), tokenize(answer)) for question, answer in zip(pieces[1::2], pieces[2::2], strict=True)
    ]
    entries = [(question, answer) for question, answer in entries if question and len(answer) >= 8]
    pages = [tokenize(page) for page in corpus_texts("libreoffice-help-en-us")]
    documents = pages + [answer for _, answer in entries]
    return Collection(documents, pages[1::2], [Task.paired("question finds answer", entries)])


COLLECTIONS: dict[str, Callable[[], Collection]] = {
    "lee": lee,
    "libreoffice-help-it": partial(help_pages, "libreoffice-help-it"),
    "libreoffice-help-en-us": partial(help_pages, "libreoffice-help-en-us"),
    "debian-faq": faq,
}


if __name__ == "__main__":
    sys.exit(main())
