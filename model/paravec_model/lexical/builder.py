"""Makes the arrays of a lexical index from documents."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .postings import MAX_COUNT, Array, Postings, merged
from .terms import Hashes, hashes_of, pair_hashes, pieces_of

# Tokens whose terms are handled at once: some 100 MB.
_BLOCK_TOKENS = 2**20


class LexicalBuilder:
    """Collects documents' tokens, and makes an index of them. Memory: 4 bytes a token, then 10 bytes a posting."""

    def __init__(self, documents: int = 0) -> None:
        """`documents`: how many there are at least; those that `add` does not name have no terms."""
        self._tokens: list[array[int]] = [array("I") for _ in range(documents)]
        self._ids: dict[str, int] = {}

    def add(self, document: int, tokens: Sequence[str]) -> None:
        """Add tokens to a document. It may be named several times: the tokens are put one after the other."""
        ids = self._ids
        while document >= len(self._tokens):
            self._tokens.append(array("I"))
        self._tokens[document].extend([ids.setdefault(token, len(ids)) for token in tokens])

    def select(self, documents: Sequence[int]) -> None:
        """Keep these documents only, numbered anew in this order."""
        self._tokens = [self._tokens[document] for document in documents]

    def sample(self, size: int) -> list[list[str]]:
        """The tokens of at most `size` documents, spread evenly."""
        words, step = list(self._ids), -(-len(self._tokens) // size)
        return [[words[i] for i in tokens] for tokens in self._tokens[:: max(1, step)]]

    def postings(self) -> Postings:
        """The terms of all documents."""
        words = list(self._ids)
        pieces = [pieces_of(word) for word in words]
        # The pieces of word w are piece_hashes[ends[w]:ends[w + 1]].
        ends = np.concatenate([[0], np.cumsum([len(some) for some in pieces], dtype=np.int64)])
        piece_hashes, word_hashes = hashes_of(piece for some in pieces for piece in some), hashes_of(words)
        return merged([_postings(*_terms(*block, ends, piece_hashes, word_hashes), len(block[1])) for block in self])

    def __iter__(self) -> Iterator[tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]]:
        """Runs of documents: their word ids end to end, and how many each has."""
        sizes = np.array([len(tokens) for tokens in self._tokens], np.int64)
        cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // _BLOCK_TOKENS)) + 1
        for first, end in pairwise([0, *cuts.tolist(), len(sizes)]):
            ids = np.concatenate([np.empty(0, np.uint32), *(np.asarray(t, np.uint32) for t in self._tokens[first:end])])
            yield ids.astype(np.uint32), sizes[first:end]


def _terms(
    ids: npt.NDArray[np.uint32], counts: npt.NDArray[np.int64], ends: Array, pieces: Hashes, words: Hashes
) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """The hash of each term of some documents, and the document that it occurs in, counted from the first."""
    documents = np.repeat(np.arange(len(counts)), counts)
    numbers = ends[ids + 1] - ends[ids]
    # Where the pieces of each token lie: from the first of its word on, one after the other.
    places = np.repeat(ends[ids] - np.cumsum(numbers) + numbers, numbers) + np.arange(numbers.sum())
    same = documents[:-1] == documents[1:]
    pairs = pair_hashes(words[ids[:-1][same]], words[ids[1:][same]])
    hashes = np.concatenate([words[ids], pieces[places], pairs])
    return hashes, np.concatenate([documents, np.repeat(documents, numbers), documents[:-1][same]])


def _postings(hashes: Hashes, documents: npt.NDArray[np.int64], size: int) -> Postings:
    """The postings of `size` documents: `hashes` of terms, and the document of each."""
    distinct, terms = np.unique(hashes, return_inverse=True)
    keys, counts = np.unique(terms * size + documents, return_counts=True)
    starts = np.searchsorted(keys, np.arange(len(distinct) + 1) * size)
    lengths = np.bincount(documents, minlength=size)
    capped = np.minimum(counts, MAX_COUNT).astype(np.uint8)
    return Postings(distinct, starts, (keys % max(1, size)).astype(np.uint32), capped, lengths.astype(np.uint32))
