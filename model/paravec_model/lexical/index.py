"""Scores documents by BM25 for a query: the arrays of `LexicalBuilder`, read from an artifact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import OptionError
from ..kernels.interface import Structure, address, kernel
from .terms import query_terms

Array = npt.NDArray[Any]

LEXICAL_ARRAYS = {
    "lexical_terms": "<u8",
    "lexical_weights": "<f4",
    "lexical_starts": "<i8",
    "lexical_documents": "<u4",
    "lexical_shares": "|u1",
}
"""The arrays of an index and their dtypes. `lexical_terms`: the hashes of all terms, ascending; `lexical_weights`: the
inverse document frequency of each; the documents that have term t are `lexical_documents[starts[t]:starts[t + 1]]`,
ascending, and `lexical_shares` says how much of the term's weight each of them gets, in 255ths."""

LEXICAL_FILES = frozenset(f"{name}.npy" for name in LEXICAL_ARRAYS)
"""The files of an index in an artifact."""

FULL_SHARE = 255

# A smaller weight than this changes no order that matters, so that a long query costs nothing.
_LEAST_WEIGHT = 0.01


def outline_problem(arrays: Mapping[str, Array]) -> str | None:
    """Which of an artifact's arrays does not fit the others in length, and why; None if all do. Reads few numbers."""
    terms, starts, documents = (arrays[f"lexical_{name}"] for name in ("terms", "starts", "documents"))
    if len(arrays["lexical_weights"]) != len(terms):
        return "lexical_weights.npy: does not have a weight for each term"
    if len(arrays["lexical_shares"]) != len(documents):
        return "lexical_shares.npy: does not have a share for each document of a list"
    if len(starts) != len(terms) + 1 or starts[0] != 0 or starts[-1] != len(documents):
        return "lexical_starts.npy: does not split lexical_documents into a list for each term"
    return None


def content_problem(arrays: Mapping[str, Array], documents: int) -> str | None:
    """What is wrong with the content of arrays that `outline_problem` accepts; None if nothing. Reads all of them."""
    if not bool((arrays["lexical_terms"][1:] > arrays["lexical_terms"][:-1]).all()):
        return "lexical_terms.npy: does not ascend"
    starts, rows = arrays["lexical_starts"], arrays["lexical_documents"]
    if not bool((starts[1:] >= starts[:-1]).all()):
        return "lexical_starts.npy: does not split lexical_documents into a list for each term"
    # The first document of a list may be any.
    falls = np.flatnonzero(rows[1:] <= rows[:-1]) + 1
    if not bool(np.isin(falls, starts).all()) or int(rows.max(initial=0)) >= documents:
        return "lexical_documents.npy: does not ascend in each list, or names a document that there is not"
    return None


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
    """What a share of 1 of each term adds to a document's score."""


class LexicalIndex:
    """The documents of an artifact by their terms. Threads may share it."""

    def __init__(self, arrays: Mapping[str, Array], length: float) -> None:
        """`arrays`: those of LEXICAL_ARRAYS, among others. `length`: that of `default_weight`."""
        self.length = length
        self._arrays = {name: arrays[name] for name in LEXICAL_ARRAYS}
        self._lists = Structure(
            "posting_lists",
            starts=self._arrays["lexical_starts"],
            documents=self._arrays["lexical_documents"],
            shares=self._arrays["lexical_shares"],
        )

    def query(self, tokens: Sequence[str], weight: float | None = None) -> LexicalQuery | None:
        """The lexical part of a query. `weight`: from 0 to 1; None for the default one of its length.

        None if its weight is 0, or no document has a term of it.
        """
        weight = default_weight(len(tokens), self.length) if weight is None else weight
        if not weight or not tokens:
            return None
        hashes, counts = query_terms(tokens)
        known = self._arrays["lexical_terms"]
        positions = np.searchsorted(known, hashes)
        found = np.flatnonzero(positions < len(known))
        found = found[known[positions[found]] == hashes[found]]
        if not len(found):
            return None
        terms = positions[found].astype(np.uint32)
        weights = self._arrays["lexical_weights"][terms] * counts[found]
        factors = weight * weights / max(float(weights.sum()), 1e-30) / FULL_SHARE
        return LexicalQuery(weight, terms, factors.astype(np.float32))

    def scorer(self, query: LexicalQuery) -> "LexicalScorer":
        """Scores documents for one query, in order."""
        return LexicalScorer(self._lists, query, self._arrays["lexical_starts"])


class LexicalScorer:
    """Adds a query's lexical scores to those of documents, one run of documents after the other."""

    def __init__(self, lists: Structure, query: LexicalQuery, starts: Array) -> None:
        self._lists, self._query = lists, query
        self._positions = starts[query.terms].astype(np.int64)

    def add(self, begin: int, end: int, scores: npt.NDArray[np.float32]) -> None:
        """Add the scores of documents `begin` to `end`, `end` excluded, to `scores`; `begin` is the last call's `end`.

        ValueError if the artifact's arrays are damaged.
        """
        kernel("add_shares")(
            self._lists.address,
            address(self._query.terms),
            address(self._query.factors),
            address(self._positions),
            len(self._query.terms),
            begin,
            end,
            address(scores),
        )
