"""The arrays of a lexical index: which documents have which terms, and how often. All are integers.

What BM25 computes of them depends on all documents, so it is computed for each query. The arrays of some documents can
therefore be cut out of those of more, and those of documents that follow each other be put together.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, NamedTuple

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

# Postings that are handled at once: some 50 MB.
_PIECE_POSTINGS = 2**21


class TermLists(NamedTuple):
    """Terms that follow each other in an index, and their lists."""

    terms: Array
    """The hashes of the terms, ascending."""
    sizes: Array
    """How many documents each has."""
    documents: Array
    """As those of `Postings`."""
    counts: Array
    """Likewise."""


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
    """How often each of them has it, 1 to 255. A document that has it more often counts as if it had it so often: its
    share of the weight is 0.99 by then."""
    lengths: Array
    """The terms of each document, a term counted as often as it is there; shape (documents,)."""

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> "Postings":
        """Those of LEXICAL_ARRAYS, among others."""
        return cls(**{one.name: arrays[f"lexical_{one.name}"] for one in fields(cls)})

    @classmethod
    def of_lists(cls, lists: Iterable[TermLists], lengths: Array) -> "Postings":
        """All lists in memory."""
        none = TermLists(*(np.empty(0, dtype) for dtype in (np.uint64, np.int64, np.uint32, np.uint8)))
        terms, sizes, documents, counts = map(np.concatenate, zip(none, *lists, strict=True))
        return cls(terms, starts_of(sizes), documents, counts, lengths)

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
            starts_of(sizes[sizes > 0]),
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


def merged(first: Postings, second: Postings) -> Iterator[TermLists]:
    """The lists of the documents of `first` with those of `second` behind them, in runs that fit in memory."""
    sizes, more_sizes = np.diff(first.starts), np.diff(second.starts)
    # Before which term of `first` each of `second` goes, and whether it is another than the one before that.
    places = np.searchsorted(first.terms, second.terms, "right")
    is_new = np.ones(len(places), bool)
    is_new[places > 0] = first.terms[places[places > 0] - 1] != second.terms[places > 0]
    done = 0
    for begin, end in list(first.pieces()) or [(0, 0)]:
        until = int(np.searchsorted(places, end, "right"))
        new, at, added = is_new[done:until], places[done:until] - begin, more_sizes[done:until]
        piece = slice(first.starts[begin], first.starts[end])
        more = slice(second.starts[done], second.starts[until])
        behind = np.repeat(first.starts[at + begin] - piece.start, added)
        both = sizes[begin:end].copy()
        both[at[~new] - 1] += added[~new]
        yield TermLists(
            np.insert(first.terms[begin:end], at[new], second.terms[done:until][new]),
            np.insert(both, at[new], added[new]),
            np.insert(first.documents[piece], behind, second.documents[more] + np.uint32(len(first.lengths))),
            np.insert(first.counts[piece], behind, second.counts[more]),
        )
        done = until


def starts_of(sizes: Array) -> npt.NDArray[np.int64]:
    """Where each of some lists begins that lie end to end, and where the last one ends; shape (lists + 1,)."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
