"""Chooses the length of a query at which its words and its vector count the same, when an index is made.

One half of each document looks for the other half, by words and vectors together. Of the candidates, the largest is
chosen that loses at most 0.002 of the best mean reciprocal rank (MRR). Halves are long, so they show from which length
on words do harm; a question or a title is short, and words serve it better than any half can show.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..encoder import Encoder
from ..lexical import LexicalBuilder, LexicalIndex
from ..lexical.index import default_weight
from .metrics import unit
from .tasks import MIN_TOKENS_TO_CUT, distinct, halves

Scores = npt.NDArray[np.float32]

DEFAULT_LENGTH = 10.0
"""Used if there are too few documents to choose with."""

CANDIDATES = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 14.0, 20.0, 28.0, 40.0, 56.0, 80.0)

FACTS = ("half_finds_half_mrr_hybrid", "half_finds_half_mrr_vectors", "half_finds_half_mrr_words")
"""What `Choice.facts` are about."""

_TOLERANCE = 0.002

_MIN_DOCUMENTS = 20


@dataclass(frozen=True)
class Choice:
    """The choice for an index."""

    length: float
    """That of `index.default_weight`."""
    facts: dict[str, Any] = field(default_factory=dict)
    """MRR with the length, by the vector alone and by the words alone, for the manifest."""


def choose_length(documents: Sequence[Sequence[str]], encoder: Encoder) -> Choice:
    """The length for an index of tokenized documents; DEFAULT_LENGTH if fewer than 20 of them have 16 tokens."""
    whole = distinct([tokens for tokens in documents if len(tokens) >= MIN_TOKENS_TO_CUT])
    if len(whole) < _MIN_DOCUMENTS:
        return Choice(DEFAULT_LENGTH)
    task = halves(whole)
    queries, targets = (unit(encoder.encode(side).vectors) for side in (task.queries, task.targets))
    cosines, shares = queries @ targets.T, lexical_scores(task.queries, task.targets)

    def score(weights: Sequence[float]) -> float:
        column = np.array(weights, np.float32)[:, None]
        return _mrr((1 - column) * cosines + column * shares)

    scores = {length: score([default_weight(len(tokens), length) for tokens in task.queries]) for length in CANDIDATES}
    alone, words = score([0.0] * len(whole)), score([1.0] * len(whole))
    least = max(alone, *scores.values()) - _TOLERANCE
    length = max((length for length in CANDIDATES if scores[length] >= least), default=CANDIDATES[0])
    return Choice(length, dict(zip(FACTS, (round(mrr, 4) for mrr in (scores[length], alone, words)), strict=True)))


def lexical_scores(queries: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]) -> Scores:
    """The lexical score of each target for each query, shape (queries, targets)."""
    builder = LexicalBuilder(len(targets))
    for number, tokens in enumerate(targets):
        builder.add(number, tokens)
    index = LexicalIndex(builder.postings(), DEFAULT_LENGTH)
    scores = np.zeros((len(queries), len(targets)), np.float32)
    index.scorer([index.query(tokens, 1.0) for tokens in queries]).add(0, len(targets), scores)
    return scores


def _mrr(scores: Scores) -> float:
    """The mean of 1 / rank of each query's own target; a target of an equal score ranks before it."""
    own = np.diagonal(scores)[:, None]
    return float(np.mean(1 / (scores > own - 1e-6).sum(axis=1)))
