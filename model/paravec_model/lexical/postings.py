"""The arrays of a lexical index: which documents have which terms, and how often. All are integers.

What BM25 computes of them depends on all documents, so it is computed for each query. The arrays of some documents can
therefore be cut out of those of more, and those of documents that follow each other be put together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LEXICAL_ARRAYS = {
    "lexical_terms": "<u8",
    "lexical_starts": "<i8",
    "lexical_documents": "<u4",
    "lexical_counts": "|u1",
    "lexical_lengths": "<u4",
}
"""The arrays of an index in an artifact, and their dtypes."""

LEXICAL_FILES = frozenset(f"{name}.npy" for name in LEXICAL_ARRAYS)
"""The files of an index in an artifact."""

MAX_COUNT = 255
"""A document that has a term more often counts as if it had it so often: its share of the weight is 0.99 by then."""

# Postings that are handled at once: some 50 MB.
_PIECE_POSTINGS = 2**21


@dataclass(frozen=True)
class Postings:
    """The terms of some documents."""

    terms: Array
    """The hashes of all terms, ascending."""
    starts: Array
    """Where the list of each term begins, and where the last one ends; shape (terms + 1,)."""
    documents: Array
    """The lists end to end: the documents that have a term, ascending."""
    counts: Array
    """How often each of them has it, 1 to MAX_COUNT."""
    lengths: Array
    """The terms of each document, a term counted as often as it is there; shape (documents,)."""

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> "Postings":
        """Those of LEXICAL_ARRAYS, among others."""
        return cls(**{one.name: arrays[f"lexical_{one.name}"] for one in fields(cls)})

    def arrays(self) -> dict[str, Array]:
        """The arrays by the names of LEXICAL_ARRAYS."""
        return {f"lexical_{one.name}": getattr(self, one.name) for one in fields(self)}

    def selected(self, kept: npt.NDArray[np.bool_]) -> "Postings":
        """Those of some documents, numbered anew. `kept`: for each document, whether it stays."""
        if bool(kept.all()):
            return self
        numbers = (np.cumsum(kept) - 1).astype(np.uint32)
        left: Array = kept[self.documents]
        sizes = np.add.reduceat(left, self.starts[:-1], dtype=np.int64) if len(self.terms) else np.empty(0, np.int64)
        return Postings(
            self.terms[sizes > 0],
            _starts(sizes[sizes > 0]),
            numbers[self.documents[left]],
            self.counts[left],
            self.lengths[kept],
        )

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Runs of terms, as the first one and the one after the last; together they are all."""
        cuts = np.flatnonzero(np.diff(self.starts // _PIECE_POSTINGS)) + 1
        yield from pairwise(np.unique(np.concatenate([[0], cuts, [len(self.terms)]])).tolist())

    def outline_problem(self, documents: int) -> str | None:
        """Which array of an artifact with so many documents does not fit the others in length, and why; None if all do.

        Reads few numbers.
        """
        if len(self.lengths) != documents:
            return "lexical_lengths.npy: does not have a length for each document"
        if len(self.counts) != len(self.documents):
            return "lexical_counts.npy: does not have a count for each document of a list"
        starts = self.starts
        if len(starts) != len(self.terms) + 1 or starts[0] != 0 or starts[-1] != len(self.documents):
            return "lexical_starts.npy: does not split lexical_documents into a list for each term"
        return None

    def content_problem(self) -> str | None:
        """What is wrong with the content of arrays whose outline is right; None if nothing. Reads all of them."""
        if not bool((self.terms[1:] > self.terms[:-1]).all()):
            return "lexical_terms.npy: does not ascend"
        if not bool((self.starts[1:] > self.starts[:-1]).all()):
            return "lexical_starts.npy: does not split lexical_documents into a list for each term"
        # The first document of a list may be any.
        falls = np.flatnonzero(self.documents[1:] <= self.documents[:-1]) + 1
        is_first = np.zeros(len(self.documents) + 1, bool)
        is_first[self.starts] = True
        if not bool(is_first[falls].all()) or int(self.documents.max(initial=0)) >= max(1, len(self.lengths)):
            return "lexical_documents.npy: does not ascend in each list, or names a document that there is not"
        if not bool(self.counts.all()):
            return "lexical_counts.npy: says that a document of a list does not have the term"
        return None


def merged(parts: Sequence[Postings]) -> Postings:
    """The documents of all parts, one part's after the other's."""
    terms = np.unique(np.concatenate([np.empty(0, np.uint64), *(part.terms for part in parts)]))
    sizes = np.zeros(len(terms), np.int64)
    for part in parts:
        sizes[np.searchsorted(terms, part.terms)] += np.diff(part.starts)
    starts = _starts(sizes)
    documents, counts = np.empty(starts[-1], np.uint32), np.empty(starts[-1], np.uint8)
    free, first = starts[:-1].copy(), 0
    for part in parts:
        positions, part_sizes = np.searchsorted(terms, part.terms), np.diff(part.starts)
        # How far each list moves.
        shifts = free[positions] - part.starts[:-1]
        for begin, end in part.pieces():
            piece = slice(part.starts[begin], part.starts[end])
            places = np.arange(piece.start, piece.stop) + np.repeat(shifts[begin:end], part_sizes[begin:end])
            documents[places] = part.documents[piece] + np.uint32(first)
            counts[places] = part.counts[piece]
        free[positions] += part_sizes
        first += len(part.lengths)
    lengths = np.concatenate([np.empty(0, np.uint32), *(part.lengths for part in parts)])
    return Postings(terms, starts, documents, counts, lengths)


def _starts(sizes: Array) -> Array:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
