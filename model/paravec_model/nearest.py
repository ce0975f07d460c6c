"""The search for the nearest of many vectors, compiled: every cosine is computed, the largest are kept in heaps."""

import numpy as np
from numba import njit

from .kernels import COMPILED, PART


@njit(**PART)
def _farther(cosine, row, other_cosine, other_row):
    """Whether the first of two goes after the second: its cosine is less, or it comes later among equals."""
    return cosine < other_cosine or (cosine == other_cosine and row > other_row)


@njit(**PART)
def _replace_farthest(cosines, rows, cosine, row):
    """Put a row into a heap in place of the farthest there, which lies at 0; what lies at i is nearer than 2i + 1 and
    2i + 2 are not."""
    size, at = cosines.shape[0], 0
    while True:
        child = 2 * at + 1
        if child + 1 < size and _farther(cosines[child + 1], rows[child + 1], cosines[child], rows[child]):
            child += 1
        if child >= size or not _farther(cosines[child], rows[child], cosine, row):
            break
        cosines[at], rows[at] = cosines[child], rows[child]
        at = child
    cosines[at], rows[at] = cosine, row


@njit(**COMPILED)
def find_nearest(units, cosines, rows, begin, end, vectors, norms):
    """Go on with a search, over the rows of `vectors` from `begin` to `end`, in order.

    `units`: queries of length 1. `cosines`, `rows`: the heap of each, of what is nearest so far. `norms`: the length of
    each row; one that is 0 has the cosine 0. A cosine that is NaN is not greater than any.
    """
    for row in range(begin, end):
        norm = norms[row]
        for query in range(units.shape[0]):
            product = np.float32(0)
            for i in range(np.uintp(vectors.shape[1])):
                product += vectors[np.uintp(row), i] * units[np.uintp(query), i]
            cosine = product / norm if norm != 0 else np.float32(0)
            if cosine > cosines[query, 0]:
                _replace_farthest(cosines[query], rows[query], cosine, np.uint32(row))
