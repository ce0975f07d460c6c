"""Numbers that no model can use: NaN, infinities, and what is so large that its square is infinite as float32."""

from collections.abc import Iterator
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_LARGEST = 1e18

# Numbers that are looked at together.
_BLOCK = 2**20

# Numbers of a block for which one product costs less than looking at each; BLAS shares longer ones among threads.
_SMALL = 8192


def row_blocks(array: Array) -> Iterator[Array]:
    """The rows of an array, which may be mapped, some of them at a time; none of an array without numbers."""
    step = max(1, _BLOCK // max(1, int(np.prod(array.shape[1:], dtype=np.int64))))
    return (array[begin : begin + step] for begin in range(0, len(array) if 0 not in array.shape else 0, step))


def count_unusable(array: Array) -> int:
    """How many numbers of an array are NaN, infinite or too large."""
    # NaN is not less than anything.
    return sum(block.size - int(np.count_nonzero(np.abs(block) < _LARGEST)) for block in row_blocks(array))


def unusable_problem(count: int, size: int) -> str:
    """What to tell of an array that has so many unusable ones among `size` numbers."""
    return f"{count:,} of {size:,} numbers are not finite, or beyond {_LARGEST:g}"


def all_finite(block: npt.NDArray[np.float32]) -> bool:
    """Whether all numbers are finite; half a microsecond for a vector."""
    # A product overflows where each number may be finite still.
    return (block.size <= _SMALL and isfinite(np.vdot(block, block))) or bool(np.isfinite(block).all())
