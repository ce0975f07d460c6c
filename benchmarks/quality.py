"""Compares what vectors find: BM25, tf-idf, a static embedding, gensim and ours; same texts, same tasks.

    make quality                                  # ten minutes; corpora whose packages are installed; writes the docs
    python -m benchmarks.quality --corpus lee     # a minute

Retrieval tasks need no labels: one half of a document (its even tokens) retrieves the other half, a help page's title
its body, a question of Debian's FAQ its answer (recall@1 with its standard error). For 50 stories of Lee, cosines are
correlated with similarity ratings by people. Models are trained on what is to be found and on documents outside the
tasks, never on a query; λ of method map is chosen on documents outside the tasks.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import numpy as np
import numpy.typing as npt
from client.examples.libreoffice_help import HelpError
from gensim.models.doc2vec import Doc2Vec, TaggedDocument

from benchmarks.embedding_speed import speeds
from benchmarks.retrieval import COLLECTIONS, Collection, Ratings, evenly
from paravec_model.artifact import Artifact
from paravec_model.convert.export import write_artifact
from paravec_model.convert.gensim_model import GensimModel
from paravec_model.encoder import Encoder
from paravec_model.errors import ModelError
from paravec_model.evaluation.baselines import Baseline, baselines
from paravec_model.evaluation.map_lambda import by_halves
from paravec_model.evaluation.metrics import Numbers, cosine_blocks, pearson, recall, score_rankings
from paravec_model.evaluation.tasks import Task
from paravec_model.options import InferenceOptions
from paravec_model.text.tokenizer import SimpleTokenizer
from paravec_model.training.defaults import for_corpus
from paravec_model.training.parameters import TrainingParameters

Vectors = npt.NDArray[np.floating]
Infer = Callable[[Sequence[Sequence[str]]], Vectors]
Row = dict[str, Any]

PAGE = Path("docs/explanation/quality.md")

MODELS: dict[str, dict[str, Any]] = {
    "negative, d100": {"vector_size": 100},
    "negative, d300": {"vector_size": 300},
    "negative 15, sample 1e-5, d100": {"vector_size": 100, "negative": 15, "sample": 1e-5},
    "hierarchical, d100": {"vector_size": 100, "negative": 0, "hs": 1},
}
_FIRST, _HIERARCHICAL = "negative, d100", "hierarchical, d100"

_WAYS = ("gensim", "gensim 100", "sgd", "map")

# λ is chosen on so many documents, as by `paravec-model train`.
_LAMBDA_DOCUMENTS = 1000


def main() -> int:
    """Measure and print, and with --docs write the tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", choices=COLLECTIONS, action="append", help="a corpus; may be repeated [all]")
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    parser.add_argument("--docs", action="store_true", help=f"also write the tables into {PAGE}")
    arguments = parser.parse_args()
    try:
        others = baselines()
    except ModelError as error:
        print(f"quality: {error}", file=sys.stderr)
        return 1
    rows, missing = list[Row](), list[str]()
    for corpus in arguments.corpus or COLLECTIONS:
        try:
            collection = COLLECTIONS[corpus]()
        except (HelpError, OSError, CalledProcessError) as error:
            print(f"{corpus}: skipped: {error}", file=sys.stderr)
            missing.append(corpus)
            continue
        for row in measured(corpus, collection, others):
            print(json.dumps(row), file=sys.stderr, flush=True)
            rows.append(row)
    tables = {"tools": tools_table(rows, others), "models": models_table(rows), "speed": speed_table(speeds())}
    print("\n\n".join(tables.values()))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    if arguments.docs:
        if missing or arguments.corpus:
            print(f"quality: {PAGE} stays as it is: it needs all corpora", file=sys.stderr)
            return 1
        write_tables(PAGE, tables)
    return 0


def measured(corpus: str, collection: Collection, others: Sequence[Baseline]) -> Iterator[Row]:
    """A row for each model and task: the score of each way, by name. Baselines are in the rows of the first model."""
    for name, parameters in MODELS.items():
        model, encoder = train(collection, parameters)
        for task in collection.tasks:
            row: Row = {"corpus": corpus, "task": task.name, "model": name, "lambda": encoder.manifest.map_lambda}
            scores = {way: score(task, infer) for way, infer in ways_of(model, encoder).items()}
            if name == _FIRST:
                scores |= {some.name: found for some in others if (found := baseline_score(task, some))}
            yield row | scores


def ways_of(model: Doc2Vec, encoder: Encoder) -> dict[str, Infer]:
    """Each way to infer vectors, by name."""

    def gensim(epochs: int | None, documents: Sequence[Sequence[str]]) -> Vectors:
        return np.array([model.infer_vector(tokens, epochs=epochs) for tokens in documents])

    def ours(options: InferenceOptions, documents: Sequence[Sequence[str]]) -> Vectors:
        return encoder.encode(documents, options).vectors

    ways = partial(gensim, None), partial(gensim, 100), partial(ours, encoder.manifest.defaults)
    return dict(zip(_WAYS, (*ways, partial(ours, InferenceOptions(method="map"))), strict=True))


def train(collection: Collection, parameters: dict[str, Any]) -> tuple[Doc2Vec, Encoder]:
    """A gensim model, and an encoder of its artifact with a chosen λ. Epochs and min_count that are not given are those
    that `paravec-model train` chooses for the corpus."""
    chosen, _ = for_corpus(TrainingParameters(), len(collection.documents), sum(map(len, collection.documents)))
    defaults = {"dm": 0, "epochs": chosen.epochs, "min_count": chosen.min_count, "workers": 1, "seed": 1}
    tagged = [TaggedDocument(tokens, [i]) for i, tokens in enumerate(collection.documents)]
    model = Doc2Vec(tagged, **defaults | parameters)
    choose = partial(by_halves, evenly(collection.lambda_documents, _LAMBDA_DOCUMENTS), method="sgd")
    with tempfile.TemporaryDirectory() as folder:
        path, tokenizer = Path(folder) / "model", SimpleTokenizer()
        write_artifact(path, GensimModel(model), name="q", version="1", tokenizer=tokenizer, choose=choose)
        # The mapped files stay valid after their deletion.
        return model, Encoder(Artifact.open(path))


def score(task: Task | Ratings, infer: Infer) -> tuple[float, float]:
    """Recall@1 and its standard error, or Pearson's correlation with the ratings and 0."""
    if isinstance(task, Ratings):
        vectors = infer(task.documents)
        return _of_blocks(task, cosine_blocks(vectors, vectors))
    return _of_blocks(task, cosine_blocks(infer(task.queries), infer(task.targets)))


def baseline_score(task: Task | Ratings, baseline: Baseline) -> tuple[float, float] | None:
    """The same of a baseline; None for ratings, if its scores are no similarities."""
    if isinstance(task, Task):
        return _of_blocks(task, baseline.scores(task.queries, task.targets))
    return _of_blocks(task, baseline.scores(task.documents, task.documents)) if baseline.is_similarity else None


def _of_blocks(task: Task | Ratings, blocks: Iterator[tuple[int, Vectors]]) -> tuple[float, float]:
    if isinstance(task, Ratings):
        similarity: Numbers = np.concatenate([block for _, block in blocks]).astype(np.float64)
        above = np.triu_indices(len(similarity), 1)
        return pearson(similarity[above], task.ratings[above]), 0.0
    found = np.array([recall(ranking, 1) for ranking in score_rankings(blocks, task.relevant)])
    return float(found.mean()), float(found.std() / len(found) ** 0.5)


def tools_table(rows: Sequence[Row], others: Sequence[Baseline]) -> str:
    """A line for each task: other tools beside the first model, and `map` of the hierarchical one."""
    names = [baseline.name for baseline in others]
    hierarchical = {(row["corpus"], row["task"]): row["map"] for row in rows if row["model"] == _HIERARCHICAL}
    lines = [_line("corpus", "task", *names, "gensim, 100 epochs", "sgd", "map", "map, hierarchical softmax")]
    lines.append(_line(*["---"] * (len(names) + 6)))
    for row in rows:
        if row["model"] == _FIRST:
            scores = [row.get(name) for name in (*names, *_WAYS[1:])]
            scores.append(hierarchical[row["corpus"], row["task"]])
            lines.append(_line(row["corpus"], row["task"], *(f"{some[0]:.3f}" if some else "–" for some in scores)))
    return "\n".join(lines)


def models_table(rows: Sequence[Row]) -> str:
    """A line for each task and model: gensim beside ours, with standard errors."""
    lines = [_line("corpus", "task", "DBOW model", "gensim", "gensim, 100 epochs", "sgd", "map", "λ")]
    lines.append(_line(*["---"] * 8))
    for row in rows:
        figures = (format_score(*row[way]) for way in _WAYS)
        lines.append(_line(row["corpus"], row["task"], row["model"], *figures, f"{row['lambda']:g}"))
    return "\n".join(lines)


def speed_table(found: dict[str, float]) -> str:
    """Documents a second, to two figures."""
    lines = [_line("way", "documents a second"), _line("---", "---")]
    return "\n".join(lines + [_line(way, f"{float(f'{rate:.2g}'):,.0f}") for way, rate in found.items()])


def format_score(score: float, error: float) -> str:
    """A score with its standard error, if that is not 0."""
    return f"{score:.3f} ± {error:.3f}" if error else f"{score:.3f}"


def write_tables(page: Path, tables: dict[str, str]) -> None:
    """Replace what is between `<!-- table NAME -->` and `<!-- end -->` in a page; ValueError if it lacks them."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        start = text.index(opening := f"<!-- table {name} -->\n") + len(opening)
        text = f"{text[:start]}\n{table}\n\n{text[text.index('<!-- end -->', start) :]}"
    page.write_text(text, encoding="utf-8")


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
