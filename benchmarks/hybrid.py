"""Measures search by words and vectors together: what it finds on the tasks of `quality`, and how long it takes.

    python -m benchmarks.hybrid                   # fifteen minutes; the extra `evaluation`, and packages of corpora
    python -m benchmarks.hybrid --unseen          # as `index` for documents that a model was not trained on
    python -m benchmarks.hybrid --among           # with other documents among those to find
    python -m benchmarks.hybrid --corpus lee      # a minute
    python -m benchmarks.hybrid --corpus debian-faq --stem english
    python -m benchmarks.hybrid --speed           # a million documents of 20 tokens: some minutes, 6 GB of memory

Recall@1 of method map, of BM25 on words alone, of the lexical index alone, and of both: by reciprocal rank fusion, by
a fixed weight of 0.5, and by the weight that a search chooses for each query. `--among` puts the collection's other
documents among those to find, as a real index has them.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

# One thread for BLAS too; must be set before numpy is imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import numpy.typing as npt

from benchmarks.machine import cpu, pin_to_one_core
from benchmarks.models import corpus_texts, random_model
from benchmarks.quality import MODELS, train
from benchmarks.retrieval import COLLECTIONS, HELD_OUT, Collection, evenly
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder
from paravec_model.errors import ModelError
from paravec_model.evaluation.baselines import Baseline, baselines
from paravec_model.evaluation.metrics import unit
from paravec_model.evaluation.tasks import Task
from paravec_model.inference.similar import DocumentIndex
from paravec_model.lexical import LexicalBuilder, LexicalIndex, default_weight, standard_score
from paravec_model.text.stemmer import stems_of
from paravec_model.text.tokenizer import SimpleTokenizer

Scores = npt.NDArray[np.float64]

_MODELS = ("negative, d100", "hierarchical, d100")

_CORPORA = COLLECTIONS | HELD_OUT

# The usual constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009).
_RRF = 60


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", choices=_CORPORA, action="append", help="a corpus; may be repeated [all]")
    parser.add_argument("--stem", metavar="LANGUAGE", help="reduce words to stems, as `train --stem` does")
    parser.add_argument("--unseen", action="store_true", help="train on no document of a task")
    parser.add_argument("--among", action="store_true", help="put other documents among those to find")
    parser.add_argument("--speed", action="store_true", help="measure time in place of quality")
    parser.add_argument("--documents", type=int, default=1_000_000, help="of --speed [%(default)s]")
    arguments = parser.parse_args()
    if arguments.speed:
        measure_speed(arguments.documents)
        return 0
    try:
        bm25, *_ = baselines()
    except ModelError as error:
        raise SystemExit(f"benchmarks.hybrid: {error}") from None
    print("| corpus | task | DBOW model | documents | map | BM25 | index alone | RRF | weight 0.5 | both |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for corpus in arguments.corpus or _CORPORA:
        collection = _CORPORA[corpus]()
        if arguments.unseen:
            collection = unseen(collection)
        if arguments.stem:
            collection = stemmed(collection, arguments.stem)
        others = among(collection) if arguments.among else []
        for name in _MODELS:
            _, trained = train(collection, MODELS[name])
            encoder = Encoder(trained.artifact, "map")
            for task in collection.tasks:
                if isinstance(task, Task):
                    cells = " | ".join(f"{figure:.3f}" for figure in measure(task, encoder, bm25, others))
                    size = len(task.targets) + len(others)
                    print(f"| {corpus} | {task.name} | {name} | {size} | {cells} |", flush=True)
    return 0


def unseen(collection: Collection) -> Collection:
    """The collection with training documents of which none is in a task."""
    return replace(collection, documents=collection.lambda_documents)


def stemmed(collection: Collection, language: str) -> Collection:
    """The collection with the stem of each word in its place."""
    stems = stems_of(language)

    def some(documents: Sequence[Sequence[str]]) -> list[list[str]]:
        return [[stems[token] for token in tokens] for tokens in documents]

    tasks = [
        replace(task, queries=some(task.queries), targets=some(task.targets))
        for task in collection.tasks
        if isinstance(task, Task)
    ]
    return Collection(some(collection.documents), some(collection.lambda_documents), [*tasks])


def among(collection: Collection) -> list[Sequence[str]]:
    """Documents outside all tasks, at most 20,000, spread evenly."""
    return evenly([tokens for tokens in collection.lambda_documents if tokens], 20_000)


def measure(task: Task, encoder: Encoder, bm25: Baseline, others: Sequence[Sequence[str]]) -> list[float]:
    """Recall@1 of each way. `others`: documents among the targets."""
    documents = [*task.targets, *others]
    queries, targets = (unit(encoder.encode(side).vectors) for side in (task.queries, documents))
    cosines: Scores = (queries @ targets.T).astype(np.float64)
    words = shares(task.queries, documents)
    weights = np.array(
        [
            [default_weight(standard_score(by_vector), standard_score(by_words), len(tokens))]
            for by_vector, by_words, tokens in zip(cosines, words, task.queries, strict=True)
        ]
    )
    theirs = np.concatenate([block for _, block in bm25.scores(task.queries, documents)], dtype=np.float64)
    ranks = 1 / (_RRF + places(cosines)) + 1 / (_RRF + places(words))
    both = (1 - weights) * cosines + weights * words
    return [*map(first, (cosines, theirs, words, ranks, (cosines + words) / 2, both))]


def shares(queries: Sequence[Sequence[str]], documents: Sequence[Sequence[str]]) -> Scores:
    """The lexical score of each document for each query."""
    builder = LexicalBuilder(len(documents))
    for number, tokens in enumerate(documents):
        builder.add(number, tokens)
    index = LexicalIndex(builder.postings())
    found = [index.query(tokens, 1.0) for tokens in queries]
    return np.array([index.shares(query) if query else np.zeros(len(documents)) for query in found], np.float64)


def first(scores: Scores) -> float:
    """The share of queries whose own target has the largest score; ties count against it."""
    own = np.diagonal(scores)[:, None]
    return float(((scores > own - 1e-6).sum(axis=1) <= 1).mean())


def places(scores: Scores) -> Scores:
    """The rank of each target for each query, from 1."""
    return np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1).astype(np.float64) + 1


def measure_speed(count: int) -> None:
    """Search by words and vectors beside search by vectors, alternating, by CPU time on one core."""
    pin_to_one_core()
    print(f"{cpu()}, one core; {count:,} documents of 20 tokens, 100 dimensions, top 10\n")
    tokenize = SimpleTokenizer()
    words = [word for text in corpus_texts("libreoffice-help-en-us") for word in tokenize(text)]
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        artifact = Artifact.open(random_model(Path(folder) / "model", 1000, 100, documents=count))
        builder, began = LexicalBuilder(count), time.process_time()
        # Half of them are running text, half are words from all over, so that few pairs repeat.
        for document, start in enumerate(random.integers(0, len(words) - 20, count).tolist()):
            apart = (words[(start * 7 + i * 9973) % len(words)] for i in range(20))
            builder.add(document, list(apart) if document % 2 else words[start : start + 20])
        postings = builder.postings()
        size = sum(array.nbytes for array in postings.arrays().values()) / count
        print(f"built in {time.process_time() - began:.0f} s, {size:.0f} bytes a document\n")
        lexical, index = LexicalIndex(postings), DocumentIndex(artifact)
        index.lexical = lexical
        for queries in (1, 16, 64):
            vectors = random.standard_normal((queries, 100), np.float32)
            for tokens in (3, 8, 20):
                starts = random.integers(0, len(words) - tokens, queries).tolist()
                texts = [words[start : start + tokens] for start in starts]

                def hybrid(texts: Sequence[Sequence[str]] = texts, vectors: Any = vectors) -> object:
                    return index.find(vectors, 10, lexical=[lexical.query(text) for text in texts])

                def dense(vectors: Any = vectors) -> object:
                    return index.find(vectors, 10)

                hybrid()
                times = [(milliseconds(dense), milliseconds(hybrid)) for _ in range(7 if queries < 64 else 3)]
                ratio = statistics.median(b / a for a, b in times)
                alone, both = (statistics.median(side) for side in zip(*times, strict=True))
                what = f"{queries:3} queries of {tokens:2} tokens"
                print(f"{what}: {alone:7.1f} ms, with words {both:7.1f} ms, {ratio:.2f}×", flush=True)


def milliseconds(work: Callable[[], object]) -> float:
    """CPU time of `work`."""
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


if __name__ == "__main__":
    sys.exit(main())
