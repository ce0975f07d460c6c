"""Chooses the length of a query at which its words and its vector count the same, when an index is made.

One half of a document looks for the other, by words and vectors together. The largest candidate is chosen with which
the mean reciprocal rank (MRR) is no worse than by the better of both alone: who asks names what a document is about,
and so has more words in common with it than its own half has. If there is none, because words alone are far better, the
candidate with the best MRR is chosen.
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

CANDIDATES = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0, 28.0, 40.0, 56.0, 80.0, 160.0, 320.0, 640.0)

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
    cosines, words = queries @ targets.T, lexical_scores(task.queries, task.targets)

    def found(length: float) -> float:
        weights = np.array([default_weight(len(tokens), length) for tokens in task.queries], np.float32)[:, None]
        return _mrr((1 - weights) * cosines + weights * words)

    tried, alone = {length: found(length) for length in CANDIDATES}, (_mrr(cosines), _mrr(words))
    good = [length for length in CANDIDATES if tried[length] >= max(alone) - _TOLERANCE]
    chosen = max(good) if good else max(CANDIDATES, key=tried.__getitem__)
    facts = (round(mrr, 4) for mrr in (tried[chosen], *alone))
    return Choice(chosen, dict(zip(FACTS, facts, strict=True)))


def lexical_scores(queries: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]) -> Scores:
    """The lexical score of each target for each query, shape (queries, targets)."""
    builder = LexicalBuilder(len(targets))
    for number, tokens in enumerate(targets):
        builder.add(number, tokens)
    index = LexicalIndex(builder.postings(), DEFAULT_LENGTH)
    scores = np.zeros((len(queries), len(targets)), np.float32)
    index.scorer([index.query(tokens, 1.0) for tokens in queries]).add(0, len(targets), scores)
    return scores


def _mrr(scores: npt.NDArray[np.floating]) -> float:
    """The mean of 1 / rank of each query's own target; a target of an equal score ranks before it."""
    own = np.diagonal(scores)[:, None]
    return float(np.mean(1 / (scores > own - 1e-6).sum(axis=1)))
