"""Scores documents by BM25 for a query, of the arrays in an artifact.

A document's share is its BM25 divided by the most that the query's terms could give, of which those that no document
has are a part, but for pairs, as words can be put in many ways: from 0 to 1. BM25 is that of Robertson and Zaragoza
(2009), with two changes. A term weighs by the square of its inverse document frequency, as it does in the cosine of two
tf-idf vectors (Salton and Buckley 1988). And a whole token that a document has gives at least a part of its weight,
however long the document is: that is BM25+ with δ = 1 (Lv and Zhai 2011).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import OptionError
from ..kernels.interface import Structure, address, kernel
from ..options import Stop, raise_if_stopped
from .postings import Postings
from .terms import query_terms

# BM25's usual parameters: how soon a repeated term counts no more, and how much a document's length matters.
_K1, _B = 1.5, 0.75

# What a document that has a token gets at least: δ of the most it can get, which is k1 + 1 + δ.
_FLOOR = 1 / (_K1 + 1 + 1)

# The words of a longer text are not weighed by default: its vector finds more, and its many terms would take long.
_MOST_TOKENS = 256

# Between two calls of `stop`: a millisecond for a common term.
_PORTION_DOCUMENTS = 2**20


def check_weight(weight: float | None) -> None:
    """OptionError unless a weight is None or from 0 to 1."""
    if weight is not None and not 0 <= weight <= 1:
        raise OptionError("lexical_weight", f"must be 0 to 1, not {weight:g}")


@dataclass(frozen=True)
class LexicalQuery:
    """The terms of a query that some document has."""

    tokens: int
    """How many tokens the query has, at least 1."""
    weight: float | None
    """The weight of the lexical part in the score, above 0 and at most 1; None if the search chooses it."""
    terms: npt.NDArray[np.uint32]
    """Their positions in the index, ascending."""
    floors: npt.NDArray[np.float32]
    """What each term adds at least to the share of a document that has it."""
    factors: npt.NDArray[np.float32]
    """What it adds at most beyond that."""


class LexicalIndex:
    """The documents of an artifact by their terms. Threads may share it."""

    def __init__(self, postings: Postings) -> None:
        self._postings = postings

    def warm_up(self) -> None:
        """Load what every query needs."""
        _ = self._lists

    def query(self, tokens: Sequence[str], weight: float | None = None) -> LexicalQuery | None:
        """The lexical part of a query. `weight`: from 0 to 1; None if the search chooses it.

        None if its weight is 0, if it has more than 256 tokens and no weight, or if no document has a term of it.
        """
        if weight == 0 or not tokens or (weight is None and len(tokens) > _MOST_TOKENS):
            return None
        asked, known = query_terms(tokens), self._postings.terms
        positions = np.searchsorted(known, asked.hashes)
        found = np.flatnonzero(positions < len(known))
        found = found[known[positions[found]] == asked.hashes[found]]
        if not len(found):
            return None
        terms = positions[found].astype(np.uint32)
        having = np.zeros(len(asked.hashes), np.int64)
        having[found] = self._having(terms)
        weights = asked.weights * self._squared_idf(having)
        most = float(weights[(having > 0) | ~asked.are_pairs].sum())
        shares = weights[found] / max(most, 1e-30)
        floors = np.where(asked.are_words[found], _FLOOR, 0) * shares
        return LexicalQuery(len(tokens), weight, terms, floors.astype(np.float32), (shares - floors).astype(np.float32))

    def shares(self, query: LexicalQuery, stop: Stop = bool) -> npt.NDArray[np.float32]:
        """The share of each document, shape (documents,).

        `stop` is called now and then; StoppedError once it returns True. ValueError if the artifact's arrays are
        damaged.
        """
        documents = len(self._postings.lengths)
        shares = np.zeros(documents, np.float32)
        positions = self._postings.starts[query.terms].astype(np.int64)
        for begin in range(0, documents, _PORTION_DOCUMENTS):
            raise_if_stopped(stop)
            kernel("add_shares")(
                self._lists.address,
                address(query.terms),
                address(query.floors),
                address(query.factors),
                address(positions),
                len(query.terms),
                begin,
                min(begin + _PORTION_DOCUMENTS, documents),
                address(shares),
            )
        return shares

    def _having(self, terms: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """How many documents have each of some terms."""
        having = self._postings.starts[terms + 1] - self._postings.starts[terms]
        # A damaged artifact may claim any numbers.
        clipped: npt.NDArray[np.int64] = np.clip(having, 1, len(self._postings.lengths))
        return clipped

    def _squared_idf(self, having: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The square of the inverse document frequency of terms that so many documents have."""
        documents = len(self._postings.lengths)
        squares: npt.NDArray[np.float64] = np.log1p((documents - having + 0.5) / (having + 0.5)) ** 2
        return squares

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
