"""The terms of a document: its tokens, their pieces of five characters, and pairs of tokens that follow each other.

Pieces of four or five characters find inflected forms in any language about as well as a stemmer for it (McNamee and
Mayfield 2004); pairs find phrases; and whole tokens put the document with a rare word before one with its pieces. A
term is kept as a 64-bit hash, so that an index needs no table of strings. Two of ten million terms have the same hash
with a probability of 3e-6.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..text.vocabulary import utf8

Hashes = npt.NDArray[np.uint64]

_PIECE = 5

# In a query. Long words say more than short ones, and have more pieces.
_WORD_WEIGHT, _PIECE_WEIGHT, _PAIR_WEIGHT = 2.0, 1.0, 0.5

# Multipliers of the finalizer of MurmurHash3 (Appleby), which mixes the hashes of two tokens into that of their pair.
_MIX = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
_SHIFT = np.uint64(33)


def pieces_of(token: str) -> list[str]:
    """The pieces of a token between its boundaries, which count as characters: `_prin`, `print`, `rint_`.

    Each begins with a NUL, so that no token equals a piece.
    """
    marked = f"_{token}_"
    return [f"\0{marked[i : i + _PIECE]}" for i in range(max(1, len(marked) - _PIECE + 1))]


def hashes_of(terms: Iterable[str]) -> Hashes:
    """The hash of each term: 8 bytes of BLAKE2b, the same in every process."""
    digests = (hashlib.blake2b(utf8(term), digest_size=8).digest() for term in terms)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def pair_hashes(first: Hashes, second: Hashes) -> Hashes:
    """The hash of each pair of tokens, from the hashes of its two tokens."""
    mixed = first ^ (second * _MIX[0] + np.uint64(1))
    for multiplier in _MIX:
        mixed = (mixed ^ (mixed >> _SHIFT)) * multiplier
    hashes: Hashes = mixed ^ (mixed >> _SHIFT)
    return hashes


class QueryTerms(NamedTuple):
    """The distinct terms of a query."""

    hashes: Hashes
    """Their hashes, ascending."""
    weights: npt.NDArray[np.float64]
    """How much each counts."""
    are_words: npt.NDArray[np.bool_]
    """Which of them are whole tokens."""
    are_pairs: npt.NDArray[np.bool_]
    """Which of them are pairs."""


def query_terms(tokens: Sequence[str]) -> QueryTerms:
    """The terms of a query of at least one token."""
    words = hashes_of(tokens)
    pieces = hashes_of(piece for token in tokens for piece in pieces_of(token))
    kinds = (words, pieces, pair_hashes(words[:-1], words[1:]))
    weights = np.repeat([_WORD_WEIGHT, _PIECE_WEIGHT, _PAIR_WEIGHT], [len(kind) for kind in kinds])
    hashes, first, places = np.unique(np.concatenate(kinds), return_index=True, return_inverse=True)
    are_words, are_pairs = first < len(words), first >= len(words) + len(pieces)
    return QueryTerms(hashes, np.bincount(places, weights).astype(np.float64), are_words, are_pairs)
