"""Measures what epochs, min_count, sample and vector_size do on corpora of several sizes, for the defaults of training.

    python -m benchmarks.defaults --json build/bench/defaults.json                 # goes on where it stopped
    python -m benchmarks.defaults --json build/bench/defaults.json --seconds 60    # begins no training after a minute
    python -m benchmarks.defaults --json build/bench/defaults.json --docs          # only writes the tables of the docs

One parameter at a time is changed around `BASE`, each model trained with several seeds on one worker. The tasks are
those of `quality`, by methods sgd and map; half of them on documents that were not trained. Corpora are gensim's Lee
corpus, LibreOffice's help and parts of it, the one-line descriptions of Debian's packages, and the docstrings of the
Python packages beside the interpreter, which differ from one machine to the next.
"""

import argparse
import json
import random
import re
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import corpus_texts
from benchmarks.quality import PAGE, score, train, write_tables
from benchmarks.retrieval import Collection, Ratings, Tokens, evenly, lee, packages
from paravec_model.encoder import Encoder
from paravec_model.evaluation.metrics import own_rankings, reciprocal_rank
from paravec_model.evaluation.tasks import Task, distinct, halves, short_halves
from paravec_model.options import InferenceOptions
from paravec_model.text.tokenizer import SimpleTokenizer
from paravec_model.training.defaults import for_corpus
from paravec_model.training.parameters import TrainingParameters

Point = dict[str, Any]
"""Parameters of a training."""
Row = dict[str, Any]
"""A point of a corpus, with its scores."""

# Documents that no model is trained on.
_UNSEEN_DOCUMENTS = 400

BASE: Point = {"epochs": 40, "min_count": 2, "sample": 1e-3, "vector_size": 100}
"""What the points of a corpus differ from, unless its `epochs` say otherwise."""

OLD: Point = {"epochs": 20, "min_count": 5}
"""The defaults before: gensim's min_count, and the epochs of Lau and Baldwin."""

_METHODS = ("sgd", "map")


_OTHERS: tuple[Point, ...] = tuple(
    {name: value}
    for name, values in {"min_count": (1, 5), "sample": (1e-4, 1e-5), "vector_size": (50, 200)}.items()
    for value in values
)


@dataclass(frozen=True)
class Measured:
    """A corpus, and what is tried on it."""

    make: Callable[[], Collection]
    epochs: Sequence[int]
    """Those tried, at BASE's other values."""
    around: int
    """The epochs at which the others are tried."""
    others: Sequence[Point] = ()
    seeds: Sequence[int] = (1, 2)

    def points(self) -> list[Point]:
        """Everything to train, epochs first, for one seed after the other."""
        tried = [OLD, *({"epochs": epochs} for epochs in self.epochs)]
        tried += [{"epochs": self.around, **other} for other in self.others]
        return [{**BASE, **point, "seed": seed} for seed in self.seeds for point in tried]


def tasks_of(
    documents: Sequence[Sequence[str]], titled: Sequence[tuple[Tokens, Tokens]], where: str
) -> list[Task | Ratings]:
    """Half finds half, short finds short, and title finds body where there are titles."""
    made = [halves(evenly(distinct(documents))), short_halves(evenly(distinct(documents)))]
    if titled:
        made.append(Task.paired("title finds body", evenly(titled)))
    return [Task(f"{task.name}, {where}", task.queries, task.targets, task.relevant) for task in made]


def of_texts(texts: Sequence[str], size: int | None = None) -> Collection:
    """`size` of the texts to train on and 400 others, each with its tasks. The first line of a text is its title."""
    shuffled = random.Random(1).sample(texts, len(texts))
    tokenize = SimpleTokenizer()
    unseen, trained = shuffled[:_UNSEEN_DOCUMENTS], shuffled[_UNSEEN_DOCUMENTS:][:size]
    tasks: list[Task | Ratings] = []
    for where, some in (("trained", trained), ("unseen", unseen)):
        split = [tuple(map(tokenize, text.split("\n", 1))) for text in some if "\n" in text]
        titled = [(title, body) for title, body in split if title and body]
        tasks += tasks_of([tokenize(text) for text in some], titled, where)
    documents = [tokenize(text) for text in trained]
    return Collection(documents, documents, tasks)


def docstrings() -> list[str]:
    """Distinct docstrings of two lines or more, at least 16 words, of the standard library and installed packages."""
    found: dict[str, None] = {}
    for folder in ("stdlib", "purelib"):
        for file in sorted(Path(sysconfig.get_path(folder)).rglob("*.py")):
            source = file.read_text(encoding="utf-8", errors="ignore")
            for text in map(str.strip, re.findall(r':\s*\n\s+[rR]?"""(.+?)"""', source, flags=re.DOTALL)):
                if "\n" in text and len(text.split()) >= 16:
                    found[text] = None
    return list(found)


def rated_stories() -> Collection:
    """Lee's stories, all trained, and people's ratings of 50 others."""
    tokenize = SimpleTokenizer()
    stories = [tokenize(text) for text in corpus_texts("lee")]
    ratings = [task for task in lee().tasks if isinstance(task, Ratings)]
    return Collection(stories, stories, [*tasks_of(stories, [], "trained"), *ratings])


def help_part(size: int | None = None) -> Collection:
    """Pages of LibreOffice's English help."""
    return of_texts(corpus_texts("libreoffice-help-en-us"), size)


def docstrings_part() -> Collection:
    """20,000 docstrings."""
    return of_texts(docstrings(), 20_000)


CORPORA: dict[str, Measured] = {
    "lee": Measured(rated_stories, (10, 20, 40, 80), 40, _OTHERS),
    "help-en-500": Measured(partial(help_part, 500), (20, 40, 80), 40),
    "help-en": Measured(help_part, (20, 40), 40),
    "packages": Measured(packages, (20, 40), 40),
    "docstrings-20000": Measured(docstrings_part, (20, 40), 40),
}


def main() -> int:
    """Measure what is missing from the JSON file, or print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="the results; those in it are not measured again")
    parser.add_argument("--corpus", choices=CORPORA, action="append", help="a corpus; may be repeated [all]")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no training after so long [all]")
    parser.add_argument("--docs", action="store_true", help=f"only write what was measured into {PAGE}")
    arguments = parser.parse_args()
    rows = json.loads(arguments.json.read_text()) if arguments.json.exists() else []
    if arguments.docs:
        write_tables(PAGE, tables(rows))
        return 0
    start = time.monotonic()
    for corpus in arguments.corpus or CORPORA:
        done = [row["point"] for row in rows if row["corpus"] == corpus]
        missing = [point for point in CORPORA[corpus].points() if point not in done]
        collection = CORPORA[corpus].make() if missing else None
        for point in missing:
            if time.monotonic() - start > arguments.seconds:
                return 0
            assert collection
            rows.append({"corpus": corpus, **measure(collection, point)})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def measure(collection: Collection, point: Point) -> Row:
    """Train one model, and the MRR and recall@1 of each task by each method."""
    some = Collection(collection.documents, evenly(collection.lambda_documents), collection.tasks)
    begun = time.monotonic()
    _, encoder = train(some, point)
    ways = zip(_METHODS, (encoder.manifest.defaults, InferenceOptions(method="map")), strict=True)
    found = {
        f"{task.name}, {method}": scores(task, encoder, options)
        for method, options in ways
        for task in collection.tasks
    }
    words = sum(map(len, collection.documents))
    facts = {"documents": len(collection.documents), "words": words, "seconds": round(time.monotonic() - begun, 1)}
    return {"point": point, **facts, "lambda": encoder.manifest.map_lambda, "scores": found}


def scores(task: Task | Ratings, encoder: Encoder, options: InferenceOptions) -> list[float]:
    """Mean reciprocal rank and recall@1; twice the correlation for ratings."""
    if isinstance(task, Ratings):
        return [round(score(task, lambda documents: encoder.encode(documents, options).vectors)[0], 4)] * 2
    queries, targets = (encoder.encode(side, options).vectors for side in (task.queries, task.targets))
    found = [reciprocal_rank(ranking) for ranking in own_rankings(queries, targets)]
    return [round(float(np.mean(found)), 4), round(float(np.mean([rank == 1.0 for rank in found])), 4)]


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """The tables of the page, by name: the defaults before and after, and what each point has on average."""
    corpora = [[row for row in rows if row["corpus"] == name] for name in CORPORA]
    before_after = [
        _line("corpus", "task", *(f"{method}, {when}" for method in _METHODS for when in ("before", "after")))
    ]
    points = [_line("corpus", "parameters", *_METHODS)]
    for lines, columns in ((before_after, 6), (points, 4)):
        lines.append(_line(*["---"] * columns))
    for ours in filter(None, corpora):
        name = f"{ours[0]['corpus']} ({ours[0]['documents']:,} documents, {ours[0]['words']:,} words)"
        old, new = ([row for row in ours if is_at(row, point)] for point in (OLD, rule(ours[0])))
        for task in dict.fromkeys(task.rpartition(", ")[0] for task in ours[0]["scores"]):
            cells = [_seeds(some, [f"{task}, {method}"]) for method in _METHODS for some in (old, new)]
            before_after.append(_line(ours[0]["corpus"], task, *cells))
        for point in list({json.dumps(without_seed(row)): without_seed(row) for row in ours}.values()):
            same = [row for row in ours if without_seed(row) == point]
            of_method = ([task for task in same[0]["scores"] if task.endswith(f", {method}")] for method in _METHODS)
            points.append(_line(name, flags(point), *(_seeds(same, tasks) for tasks in of_method)))
    return {"defaults": "\n".join(before_after), "points": "\n".join(points)}


def rule(row: Row) -> Point:
    """What `train` chooses for a row's corpus."""
    chosen, _ = for_corpus(TrainingParameters(), row["documents"], row["words"])
    return {"epochs": chosen.epochs, "min_count": chosen.min_count}


def is_at(row: Row, point: Point) -> bool:
    """Whether a row was trained with these parameters, and BASE's others."""
    return without_seed(row) == {**BASE, **point}


def without_seed(row: Row) -> Point:
    """A row's parameters without the seed."""
    return {name: value for name, value in row["point"].items() if name != "seed"}


def flags(point: Point) -> str:
    """How `paravec-model train` is given the parameters: those that are gensim's defaults are left out."""
    plain = {"sample": 1e-3, "vector_size": 100}
    given = [f"--{name.replace('_', '-')} {value:g}" for name, value in point.items() if plain.get(name) != value]
    return f"`{' '.join(given)}`"


def _seeds(rows: Sequence[Row], tasks: Sequence[str]) -> str:
    """The mean over tasks and seeds of the MRR, and half of the distance between the least and the greatest seed."""
    values = [statistics.mean(row["scores"][task][0] for task in tasks) for row in rows]
    if not values:
        return "–"
    spread = f" ± {(max(values) - min(values)) / 2:.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
