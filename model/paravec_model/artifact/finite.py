"""Scales vectors to unit length, and finds numbers that no model can use.

These are NaN, infinity, and numbers whose square overflows float32.
"""

from collections.abc import Iterator
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import NotFiniteError

Array = npt.NDArray[Any]

_LIMIT = 1e18

_BLOCK_NUMBERS = 2**20

# For at most this many numbers, one dot product costs less than a check of each. BLAS may start threads for more.
_DOT_NUMBERS = 8192


def row_blocks(array: Array) -> Iterator[Array]:
    """The array in blocks of whole rows, so that a mapped array need not fit in memory."""
    step = max(1, _BLOCK_NUMBERS // max(1, int(np.prod(array.shape[1:], dtype=np.int64))))
    return (array[begin : begin + step] for begin in range(0, len(array) if 0 not in array.shape else 0, step))


def count_unusable(array: Array) -> int:
    """How many numbers are NaN, infinite or too large."""
    # NaN compares as not less.
    return sum(block.size - int(np.count_nonzero(np.abs(block) < _LIMIT)) for block in row_blocks(array))


def unusable_problem(count: int, size: int) -> str:
    """The message for an array with `count` unusable numbers of `size`."""
    return f"{count:,} of {size:,} numbers are not finite, or beyond {_LIMIT:g}"


def unit_rows(array: Array) -> Array:
    """A copy of a float32 matrix with each row scaled to unit L2 length; a zero row stays zero."""
    norms = np.sqrt(np.square(array, dtype=np.float64).sum(axis=1, keepdims=True))
    scaled: Array = np.divide(array, norms, out=np.zeros_like(array), where=norms > 0, casting="same_kind")
    return scaled


def checked(vectors: Array) -> Array:
    """The vectors; NotFiniteError unless all numbers are finite. Takes half a microsecond for one vector."""
    # The dot product may overflow although each number is finite, so a failed test needs the second.
    if not (vectors.size <= _DOT_NUMBERS and isfinite(np.vdot(vectors, vectors))) and not np.isfinite(vectors).all():
        raise NotFiniteError("a vector is not finite; run paravec-model verify to find the damaged arrays")
    return vectors
