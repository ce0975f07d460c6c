"""Makes the arrays of a lexical index from documents: BM25 (Robertson and Zaragoza 2009) with the share of a term in a
document computed once, as in BM25S (Lù 2024)."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from .index import FULL_SHARE, Array
from .terms import Hashes, hashes_of, pair_hashes, pieces_of

# BM25's usual parameters: how soon a repeated term counts no more, and how much a document's length matters.
_K1, _B = 1.5, 0.75

# Tokens whose terms are handled at once: some 100 MB.
_BLOCK_TOKENS = 2**20


class LexicalBuilder:
    """Collects documents' tokens, and makes an index of them. Memory: 4 bytes a token, then 15 bytes a posting."""

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

    def arrays(self) -> dict[str, Array]:
        """The arrays of `index.LEXICAL_ARRAYS`, by name; ModelError if no document has a token."""
        if not self._ids:
            raise ModelError("no document has a token, so there is nothing to find by words; leave out --lexical")
        words = list(self._ids)
        pieces = [pieces_of(word) for word in words]
        # The pieces of word w are piece_hashes[ends[w]:ends[w + 1]].
        ends = np.concatenate([[0], np.cumsum([len(some) for some in pieces])])
        piece_hashes, word_hashes = hashes_of(piece for some in pieces for piece in some), hashes_of(words)
        blocks, known = [], []
        lengths = np.zeros(len(self._tokens), np.int64)
        for first, ids, counts in self._blocks():
            hashes, documents = _terms(ids, counts, ends, piece_hashes, word_hashes)
            lengths[first : first + len(counts)] = np.bincount(documents, minlength=len(counts))
            distinct, terms = np.unique(hashes, return_inverse=True)
            known.append(distinct)
            keys, frequencies = np.unique(documents * len(distinct) + terms, return_counts=True)
            which = distinct[keys % len(distinct)]
            blocks.append((which, (keys // len(distinct) + first).astype(np.uint32), frequencies.astype(np.uint32)))
        return _arrays(blocks, np.unique(np.concatenate(known)), lengths)

    def _blocks(self) -> Iterator[tuple[int, npt.NDArray[np.uint32], npt.NDArray[np.int64]]]:
        """Runs of documents: the first one's number, their word ids end to end, and how many each has."""
        sizes = np.array([len(tokens) for tokens in self._tokens], np.int64)
        cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // _BLOCK_TOKENS)) + 1
        for first, end in pairwise([0, *cuts.tolist(), len(sizes)]):
            ids = np.concatenate([np.empty(0, np.uint32), *(np.asarray(t, np.uint32) for t in self._tokens[first:end])])
            yield first, ids.astype(np.uint32), sizes[first:end]


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


def _arrays(
    blocks: list[tuple[Hashes, npt.NDArray[np.uint32], npt.NDArray[np.uint32]]],
    known: Hashes,
    lengths: npt.NDArray[np.int64],
) -> dict[str, Array]:
    """The index of blocks of postings: the hash of the term, the document, and how often it has the term."""
    positions = [np.searchsorted(known, hashes).astype(np.uint32) for hashes, _, _ in blocks]
    frequencies = sum((np.bincount(terms, minlength=len(known)) for terms in positions), np.zeros(len(known), np.int64))
    starts = np.concatenate([[0], np.cumsum(frequencies)]).astype(np.int64)
    documents, shares = np.empty(starts[-1], np.uint32), np.empty(starts[-1], np.uint8)
    relative = _K1 * (1 - _B + _B * lengths / max(float(lengths.mean()), 1e-30))
    free = starts[:-1].copy()
    for terms, (_, rows, counts) in zip(positions, blocks, strict=True):
        # Blocks hold documents in order, and the sort keeps it.
        order = np.argsort(terms, kind="stable")
        sorted_terms, distinct = terms[order], np.bincount(terms, minlength=len(known))
        before = np.concatenate([[0], np.cumsum(distinct)])[sorted_terms]
        places = free[sorted_terms] + np.arange(len(terms)) - before
        documents[places] = rows[order]
        share = FULL_SHARE * counts[order] / (counts[order] + relative[rows[order]])
        shares[places] = np.maximum(1, np.rint(share)).astype(np.uint8)
        free += distinct
    weights = np.log1p((len(lengths) - frequencies + 0.5) / (frequencies + 0.5))
    return {
        "lexical_terms": known,
        "lexical_weights": weights.astype(np.float32),
        "lexical_starts": starts,
        "lexical_documents": documents,
        "lexical_shares": shares,
    }
