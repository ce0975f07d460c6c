"""Makes the lists of a lexical index: which documents have each term, and how often.

The terms are handled in ranges of their hashes, so that the lists of one range fit in little memory. For each range a
kernel goes through all tokens: once to collect the pairs, whose hashes are sorted together with those of words and
pieces to number the terms, and once to write down the documents of each term.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..cores import usable_cores
from ..kernels.interface import Structure, address, kernel
from ..parallel import ordered_map
from .postings import Array, TermLists, starts_of
from .terms import Hashes, hashes_of, pieces_of

# A range has the hashes that begin with the same bits, at most 4: about one range for so many tokens. More ranges take
# less memory, but each is a pass over all tokens.
_RANGE_TOKENS, _MOST_BITS = 2**20, 4

# Tokens that are handled at once where that is done in arrays of more than a token's size.
_BLOCK_TOKENS = 2**20


@dataclass(frozen=True)
class Documents:
    """The words of documents, by number."""

    ids: npt.NDArray[np.uint32]
    """The words of all documents, end to end."""
    ends: npt.NDArray[np.int64]
    """Document n is `ids[ends[n]:ends[n + 1]]`; shape (documents + 1,)."""

    def blocks(self) -> Iterator[tuple[int, "Documents"]]:
        """Runs of documents that together are all, each with the number of its first document."""
        cuts = np.flatnonzero(np.diff(self.ends // _BLOCK_TOKENS)) + 1
        places = np.unique(np.concatenate([[0], cuts, [len(self.ends) - 1]])).tolist()
        for first, last in pairwise(places):
            ends = self.ends[first : last + 1]
            yield first, Documents(self.ids[ends[0] : ends[-1]], ends - ends[0])

    def structure(self) -> Structure:
        """The arrays for kernels."""
        return Structure("tokens", ids=self.ids, ends=self.ends)


class WordTerms:
    """The terms of single words: each itself, and its pieces."""

    def __init__(self, words: list[str]) -> None:
        """`words`: by their numbers."""
        # Many words share pieces, so each piece is hashed once.
        numbers: dict[str, int] = {}
        pieces = [[numbers.setdefault(piece, len(numbers)) for piece in pieces_of(word)] for word in words]
        self.words = hashes_of(words)
        """The hash of each word."""
        self.sizes = np.fromiter((1 + len(some) for some in pieces), np.int64, len(words))
        """How many terms each has."""
        self.starts = starts_of(self.sizes)
        """The terms of word w are `hashes[starts[w]:starts[w + 1]]`."""
        places = np.fromiter((n for some in pieces for n in (0, *some)), np.int64, int(self.starts[-1]))
        self.hashes = hashes_of(numbers)[places] if numbers else np.empty(0, np.uint64)
        self.hashes[self.starts[:-1]] = self.words


def lengths(documents: Documents, terms: WordTerms) -> npt.NDArray[np.uint32]:
    """The terms of each document, a term counted as often as it is there."""
    made = np.zeros(len(documents.ends) - 1, np.uint32)
    for first, block in documents.blocks():
        single = np.diff(starts_of(terms.sizes[block.ids])[block.ends])
        pairs = np.maximum(np.diff(block.ends) - 1, 0)
        made[first : first + len(pairs)] = single + pairs
    return made


def term_lists(documents: Documents, terms: WordTerms) -> Iterator[TermLists]:
    """The lists of all terms, ascending, range by range; on all cores."""
    bits = int(np.clip((len(documents.ids) // _RANGE_TOKENS).bit_length(), 1, _MOST_BITS))
    counts = np.zeros(len(terms.words), np.int64)
    for _, block in documents.blocks():
        counts += np.bincount(block.ids, minlength=len(counts))
    work = partial(_lists, documents, terms, np.repeat(counts, terms.sizes), bits)
    threads = min(usable_cores(), 2**bits)
    return ordered_map(work, range(2**bits), threads, threads)


def _lists(documents: Documents, terms: WordTerms, counts: Array, bits: int, prefix: int) -> TermLists:
    """The lists of the terms whose hashes begin with the `bits` bits of `prefix`.

    `counts`: how often each term of each word occurs for it.
    """
    inside = terms.hashes >> np.uint64(64 - bits) == prefix
    pairs, pair_documents = _pairs(documents, terms.words, bits, prefix)
    distinct, numbers = np.unique(np.concatenate([terms.hashes[inside], pairs]), return_inverse=True)
    of_word, of_pair = np.split(numbers.astype(np.uint32), [len(numbers) - len(pairs)])
    del pairs, numbers
    # No more documents have a term than it occurs times.
    occurrences = np.bincount(of_pair, minlength=len(distinct)) + np.bincount(of_word, counts[inside], len(distinct))
    starts = starts_of(occurrences)
    tokens = documents.structure()
    word_terms = Structure("word_terms", starts=starts_of(inside)[terms.starts], terms=of_word)
    pair_terms = Structure("document_terms", documents=pair_documents, terms=of_pair)
    sizes, last, room = np.empty(len(distinct), np.int64), np.empty(len(distinct), np.uint32), int(starts[-1])
    listed, often = np.empty(room, np.uint32), np.empty(room, np.uint8)
    kernel("list_documents")(
        tokens.address,
        word_terms.address,
        pair_terms.address,
        len(distinct),
        address(starts),
        address(sizes),
        address(last),
        address(listed),
        address(often),
        room,
    )
    # Words may be left of documents that are not.
    has, size = sizes > 0, int(sizes.sum())
    return TermLists(distinct[has], sizes[has], listed[:size], often[:size])


def _pairs(documents: Documents, words: Hashes, bits: int, prefix: int) -> tuple[Hashes, npt.NDArray[np.uint32]]:
    """The hashes of the pairs in such a range, and the document of each."""
    hashes, numbers, found = [np.empty(0, np.uint64)], [np.empty(0, np.uint32)], np.zeros(1, np.int64)
    for first, block in documents.blocks():
        tokens, room = block.structure(), len(block.ids)
        pairs, owners = np.empty(room, np.uint64), np.empty(room, np.uint32)
        kernel("hash_pairs")(
            tokens.address,
            address(words),
            len(words),
            bits,
            prefix,
            address(pairs),
            address(owners),
            room,
            address(found),
        )
        hashes.append(pairs[: found[0]].copy())
        numbers.append(owners[: found[0]] + np.uint32(first))
    return np.concatenate(hashes), np.concatenate(numbers)
