"""How fast texts become vectors, beside what else one would use: all on one core, round after round side by side."""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import bm25s
from gensim.models.doc2vec import Doc2Vec, TaggedDocument
from sklearn.feature_extraction.text import TfidfVectorizer

from paravec_model.artifact import Artifact
from paravec_model.convert.export import write_artifact
from paravec_model.convert.gensim_model import GensimModel
from paravec_model.corpus.formats import named_corpus
from paravec_model.encoder import Encoder
from paravec_model.evaluation.baselines import wordllama
from paravec_model.evaluation.map_lambda import default
from paravec_model.options import Method
from paravec_model.text.tokenizer import SimpleTokenizer

Texts = Sequence[str]

_TOKENS, _TEXTS, _ROUNDS = 20, 2000, 5


def speeds() -> dict[str, float]:
    """Texts of 20 words a second, by way: the best of five rounds. From text, not from tokens."""
    ways = _ways()
    cores = os.sched_getaffinity(0)
    # The libraries' threads begin here or are told so by OMP_NUM_THREADS=1.
    os.sched_setaffinity(0, {min(cores)})
    try:
        best = dict.fromkeys(ways, 0.0)
        for _ in range(_ROUNDS):
            for name, (texts, run) in ways.items():
                begun = time.perf_counter()
                run(texts)
                best[name] = max(best[name], len(texts) / (time.perf_counter() - begun))
        return best
    finally:
        os.sched_setaffinity(0, cores)


def _ways() -> dict[str, tuple[Texts, Callable[[Texts], Any]]]:
    tokenize = SimpleTokenizer()
    stories = [tokenize(text) for _, text in named_corpus("lee")]
    words = [word for story in stories for word in story]
    texts = [" ".join(words[i * _TOKENS : (i + 1) * _TOKENS]) for i in range(min(_TEXTS, len(words) // _TOKENS))]
    model = Doc2Vec([TaggedDocument(story, [n]) for n, story in enumerate(stories)], dm=0, min_count=2, epochs=20)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        write_artifact(path, GensimModel(model), name="speed", version="1", tokenizer=tokenize, choose=default)
        encoder = Encoder(Artifact.open(path))
    vectorizer = TfidfVectorizer().fit(texts)

    def ours(method: Method) -> Callable[[Texts], Any]:
        options = replace(encoder.defaults, method=method)
        return lambda some: encoder.infer(encoder.to_token_ids(some), options)

    def bm25(some: Texts) -> None:
        bm25s.BM25().index(bm25s.tokenize(list(some), stopwords=None, show_progress=False), show_progress=False)

    ways: dict[str, tuple[Texts, Callable[[Texts], Any]]] = {
        "map": (texts * 10, ours("map")),
        "sgd, 20 epochs": (texts, ours("sgd")),
        "gensim, 20 epochs": (texts[:500], lambda some: [model.infer_vector(tokenize(text)) for text in some]),
        "tf-idf (scikit-learn), transform": (texts, vectorizer.transform),
        "BM25 (bm25s), index": (texts, bm25),
    }
    try:
        ways["static embedding (wordllama)"] = texts, wordllama().embed
    except ModuleNotFoundError:
        print("wordllama is not installed: its speed is left out", file=sys.stderr)
    return ways
