"""Scores documents by BM25 (Robertson and Zaragoza 2009) for a query, of the arrays in an artifact.

A document's share is its BM25 divided by the most that the query's terms could give, of which those that no document
has are a part: from 0 to 1. The lexical score is the cube of the share, so that a few common words, which many
documents have, count next to nothing beside a cosine, and most of a query's words much.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import OptionError
from ..kernels.interface import Structure, address, kernel
from .postings import Postings
from .terms import query_terms

# BM25's usual parameters: how soon a repeated term counts no more, and how much a document's length matters.
_K1, _B = 1.5, 0.75

# A smaller weight than this changes no order that matters, so that a long query costs nothing.
_LEAST_WEIGHT = 0.01


def default_weight(tokens: int, length: float) -> float:
    """The weight of the lexical part for a query of so many tokens: 1 / (1 + (tokens / length)³); 0 below 0.01.

    The vector of a short query is vague and its words are to the point; of a long text the opposite holds. At `length`
    tokens both count the same.
    """
    weight = 1 / (1 + (tokens / length) ** 3)
    return weight if tokens and weight >= _LEAST_WEIGHT else 0.0


def check_weight(weight: float | None) -> None:
    """OptionError unless a weight is None or from 0 to 1."""
    if weight is not None and not 0 <= weight <= 1:
        raise OptionError("lexical_weight", f"must be 0 to 1, not {weight:g}")


@dataclass(frozen=True)
class LexicalQuery:
    """The terms of a query that some document has."""

    weight: float
    """The weight of the lexical part in the score, above 0 and at most 1."""
    terms: npt.NDArray[np.uint32]
    """Their positions in the index, ascending."""
    factors: npt.NDArray[np.float32]
    """What each term adds at most to the cube root of a document's lexical part."""


class LexicalIndex:
    """The documents of an artifact by their terms. Threads may share it."""

    def __init__(self, postings: Postings, length: float) -> None:
        """`length`: that of `default_weight`."""
        self.length = length
        self._postings = postings

    def query(self, tokens: Sequence[str], weight: float | None = None) -> LexicalQuery | None:
        """The lexical part of a query. `weight`: from 0 to 1; None for the default one of its length.

        None if its weight is 0, or no document has a term of it.
        """
        weight = default_weight(len(tokens), self.length) if weight is None else weight
        if not weight or not tokens:
            return None
        hashes, counts, missing = query_terms(tokens)
        known = self._postings.terms
        positions = np.searchsorted(known, hashes)
        found = np.flatnonzero(positions < len(known))
        found = found[known[positions[found]] == hashes[found]]
        if not len(found):
            return None
        terms = positions[found].astype(np.uint32)
        weights = _idf(self._having(terms), self._documents) * counts[found]
        missing[found] = 0
        most = float(weights.sum()) + float(missing.sum()) * float(_idf(np.zeros(1), self._documents)[0])
        factors = np.cbrt(weight) * weights / max(most, 1e-30)
        return LexicalQuery(weight, terms, factors.astype(np.float32))

    @property
    def _documents(self) -> int:
        return len(self._postings.lengths)

    def _having(self, terms: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """How many documents have each of some terms."""
        having = self._postings.starts[terms + 1] - self._postings.starts[terms]
        # A damaged artifact may claim any numbers.
        clipped: npt.NDArray[np.int64] = np.clip(having, 0, self._documents)
        return clipped

    def scorer(self, queries: Sequence[LexicalQuery | None]) -> "LexicalScorer":
        """Scores documents for some queries, in order."""
        return LexicalScorer(self._lists, queries, self._postings.starts)

    @cached_property
    def _lists(self) -> Structure:
        postings = self._postings
        # Without any term, any mean does.
        mean = float(postings.lengths.sum(dtype=np.int64)) / max(1, len(postings.lengths)) or 1.0
        return Structure(
            "posting_lists",
            starts=postings.starts,
            documents=postings.documents,
            counts=postings.counts,
            lengths=postings.lengths,
            saturation=np.array([_K1 * (1 - _B), _K1 * _B / mean], np.float32),
        )


def _idf(having: npt.NDArray[Any], documents: int) -> npt.NDArray[np.float64]:
    """The inverse document frequency of terms that so many of all documents have."""
    weights: npt.NDArray[np.float64] = np.log1p((documents - having + 0.5) / (having + 0.5))
    return weights


class LexicalScorer:
    """Computes the lexical parts of queries' scores, one run of documents after the other."""

    def __init__(self, lists: Structure, queries: Sequence[LexicalQuery | None], starts: npt.NDArray[np.int64]) -> None:
        self._lists, self._queries = lists, len(queries)
        self._ends = np.cumsum([len(query.terms) if query else 0 for query in queries], dtype=np.int64)
        parts = [query for query in queries if query]
        self._terms = np.concatenate([np.empty(0, np.uint32), *(part.terms for part in parts)])
        self._factors = np.concatenate([np.empty(0, np.float32), *(part.factors for part in parts)])
        self._positions = starts[self._terms].astype(np.int64)

    def add(self, begin: int, end: int, scores: npt.NDArray[np.float32]) -> None:
        """Write the parts of documents `begin` to `end`, `end` excluded, to `scores`; `begin` is the last call's `end`.

        `scores`: zeros of shape (queries, end - begin). ValueError if the artifact's arrays are damaged.
        """
        kernel("lexical_scores")(
            self._lists.address,
            address(self._terms),
            address(self._factors),
            address(self._positions),
            len(self._terms),
            address(self._ends),
            self._queries,
            begin,
            end,
            address(scores),
        )
