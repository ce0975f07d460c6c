"""Chooses the length of a query at which its words and its vector count the same, when an index is made.

Parts of the documents look for the rest of their document, by words and vectors together: one half for the other, which
is a long query, and three tokens for all others, which is a short one. The largest candidate is chosen with which the
mean reciprocal rank (MRR) is no worse than by the better of both alone. The best candidate would give words too little:
who asks names what a document is about, and so has more words in common with it than its own parts have.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..encoder import Encoder
from ..lexical import LexicalBuilder, LexicalIndex
from ..lexical.index import default_weight
from .metrics import unit
from .tasks import MIN_TOKENS_TO_CUT, Task, distinct, halves, pieces

Scores = npt.NDArray[np.float32]

DEFAULT_LENGTH = 10.0
"""Used if there are too few documents to choose with."""

CANDIDATES = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0, 28.0, 40.0, 56.0, 80.0)

FACTS = ("part_finds_rest_mrr_hybrid", "part_finds_rest_mrr_vectors", "part_finds_rest_mrr_words")
"""What `Choice.facts` are about."""

_TOLERANCE = 0.002

_MIN_DOCUMENTS = 20

# Tokens of a short query.
_SHORT_TOKENS = 3


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
    tried = [_tried(kind(whole), encoder) for kind in (halves, partial(pieces, size=_SHORT_TOKENS))]
    # Rows are tasks; columns are the candidates, vectors alone and words alone.
    table = np.array(tried)
    means = table.mean(axis=0)
    least = float(table[:, -2:].max(axis=1).mean()) - _TOLERANCE
    chosen = max((n for n in range(len(CANDIDATES)) if means[n] >= least), default=0)
    facts = (round(float(means[n]), 4) for n in (chosen, -2, -1))
    return Choice(CANDIDATES[chosen], dict(zip(FACTS, facts, strict=True)))


def _tried(task: Task, encoder: Encoder) -> list[float]:
    """The MRR of a task with each candidate, by vectors alone, and by words alone."""
    queries, targets = (unit(encoder.encode(side).vectors) for side in (task.queries, task.targets))
    cosines, words = queries @ targets.T, lexical_scores(task.queries, task.targets)
    weights = [[default_weight(len(tokens), length) for tokens in task.queries] for length in CANDIDATES]
    columns = np.array([*weights, [0.0] * len(queries), [1.0] * len(queries)], np.float32)[:, :, None]
    return [_mrr((1 - column) * cosines + column * words) for column in columns]


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
