"""What one would use in place of Doc2Vec: BM25, tf-idf and a static embedding, on the tokens that the model is given.

They learn nothing beforehand: BM25 and tf-idf count the words of the targets, the static embedding brings its own
vectors. Their libraries are imported when they are asked for, and are no part of a server or a client.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError
from .metrics import Numbers, Vectors, block_size, cosine_blocks
from .tasks import Tokens

Scores = Callable[[Sequence[Tokens], Sequence[Tokens]], Iterator[tuple[int, Vectors]]]
"""Scores of queries and targets in blocks of queries: the block's first query, and an array (queries, targets)."""


@dataclass(frozen=True)
class Baseline:
    """A way to find texts without a model of ours."""

    name: str
    scores: Scores
    is_similarity: bool
    """Whether scores of different queries can be compared, as cosines can. Those of BM25 grow with the query."""

    def of_pairs(self, left: Sequence[Tokens], right: Sequence[Tokens]) -> Numbers:
        """The score of each text of `left` and the text of `right` with the same index."""
        found = [np.diagonal(block, start) for start, block in self.scores(left, right)]
        return np.concatenate(found).astype(np.float64)


def baselines() -> list[Baseline]:
    """BM25 and tf-idf, and the static embedding if wordllama is installed.

    ModelError if paravec[evaluation] is not installed.
    """
    try:
        import bm25s
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ModuleNotFoundError as error:
        raise ModelError(f"baselines need {error.name}: pip install 'paravec[evaluation]'") from error
    # Its own level is DEBUG.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    found = [
        Baseline("BM25", _bm25(bm25s.BM25), is_similarity=False),
        Baseline("tf-idf", _tfidf(TfidfVectorizer), is_similarity=True),
    ]
    try:
        return [*found, Baseline("wordllama", _static(wordllama()), is_similarity=True)]
    except ModuleNotFoundError:
        return found


def wordllama() -> Any:
    """The static embedding of wordllama, whose wheel has its vectors: it needs no network.

    ModuleNotFoundError if it is not installed.
    """
    handlers, level = logging.root.handlers[:], logging.root.level
    import wordllama

    # Its import configures the root logger, which is the program's.
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    # Of its own folders, version 0.4 searches only that of the vectors, but those of a cache all.
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)


def _bm25(index_class: Any) -> Scores:
    def scores(queries: Sequence[Tokens], targets: Sequence[Tokens]) -> Iterator[tuple[int, Vectors]]:
        index, step = index_class(), block_size(len(targets))
        index.index([list(tokens) for tokens in targets], show_progress=False)
        for start in range(0, len(queries), step):
            known = [index.get_tokens_ids(list(tokens)) for tokens in queries[start : start + step]]
            yield start, np.array([index.get_scores_from_ids(ids) for ids in known])

    return scores


def _tfidf(vectorizer_class: Any) -> Scores:
    def scores(queries: Sequence[Tokens], targets: Sequence[Tokens]) -> Iterator[tuple[int, Vectors]]:
        vectorizer, step = vectorizer_class(analyzer=_as_they_are), block_size(len(targets))
        columns = vectorizer.fit_transform(targets).T
        rows = vectorizer.transform(queries)
        for start in range(0, len(queries), step):
            yield start, (rows[start : start + step] @ columns).toarray()

    return scores


def _as_they_are(tokens: Tokens) -> Tokens:
    return tokens


def _static(embedding: Any) -> Scores:
    def scores(queries: Sequence[Tokens], targets: Sequence[Tokens]) -> Iterator[tuple[int, Vectors]]:
        yield from cosine_blocks(
            *(embedding.embed([" ".join(tokens) for tokens in side]) for side in (queries, targets))
        )

    return scores
