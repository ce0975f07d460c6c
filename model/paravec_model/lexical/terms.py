"""The terms of a document: its tokens, their pieces of five characters, and pairs of tokens that follow each other.

Pieces of four or five characters find inflected forms in any language about as well as a stemmer for it (McNamee and
Mayfield 2004); pairs find phrases; and whole tokens put the document with a rare word before one with its pieces. A
term is kept as a 64-bit hash, so that an index needs no table of strings. Two of ten million terms have the same hash
with a probability of 3e-6.
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ..text.vocabulary import utf8

Hashes = npt.NDArray[np.uint64]

_PIECE = 5

# In a query, a token counts as often as it has pieces, since long words say more than short ones, and a pair once.
_PIECE_WEIGHT, _PAIR_WEIGHT = 0.5, 1.0

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


Weights = npt.NDArray[np.float64]


def query_terms(tokens: Sequence[str]) -> tuple[Hashes, Weights, Weights]:
    """The hashes of a query's distinct terms, ascending; how much each counts; and how much if no document has it.

    A pair that no document has counts nothing: its words may be put in other ways.
    """
    pieces = [pieces_of(token) for token in tokens]
    words = hashes_of(tokens)
    pairs = pair_hashes(words[:-1], words[1:])
    hashes = np.concatenate([words, hashes_of(piece for some in pieces for piece in some), pairs])
    numbers = np.array([len(some) for some in pieces], np.float64)
    weights = np.concatenate([numbers, np.full(int(numbers.sum()), _PIECE_WEIGHT), np.full(len(pairs), _PAIR_WEIGHT)])
    distinct, places = np.unique(hashes, return_inverse=True)
    counts = np.bincount(places, weights, minlength=len(distinct)).astype(np.float64)
    weights[len(weights) - len(pairs) :] = 0
    return distinct, counts, np.bincount(places, weights, minlength=len(distinct)).astype(np.float64)
