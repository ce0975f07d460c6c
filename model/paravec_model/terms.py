"""The terms of a document in the objective of method map: each row once, with how often it should say yes and no.

Words are sorted and equal ones made one; nodes are numbered as the words' paths lead to them. So no order of the
document's words can make a difference, not even to the rounding.
"""

import numpy as np
from numba import njit

from .compiled import LANES
from .kernels import PART

_F = np.float32
_ZERO, _ONE = _F(0), _F(1)


@njit(**PART)
def _sort(words):
    """Shell's sort, which takes no room."""
    gap = 1
    while gap * 3 < words.shape[0]:
        gap = gap * 3 + 1
    while gap > 0:
        for i in range(gap, words.shape[0]):
            word = words[i]
            j = i
            while j >= gap and words[j - gap] > word:
                words[j] = words[j - gap]
                j -= gap
            words[j] = word
        gap //= 3


@njit(**PART)
def collect(
    words, known, rows, weights, yes, seats,
    negative, output, hs, nodes, stride, hs_offsets, hs_points, hs_codes, sample, sample_int,
):  # fmt: skip
    """Put the terms' rows, as addresses, into `rows`, how often the document has each into `weights`, less what
    sub-sampling takes, and how often of that it should say yes into `yes`. How many; and what the words weigh in all.

    `seats` tells where a node's term is. It is never emptied: what is out of date leads to another row or too far.
    """
    for i in range(words.shape[0]):
        known[i] = words[i]
    _sort(known[: words.shape[0]])
    count, total, i = np.uintp(0), _ZERO, 0
    while i < words.shape[0]:
        word, weight = np.uintp(known[i]), _ZERO
        while i < words.shape[0] and np.uintp(known[i]) == word:
            weight += _ONE
            i += 1
        if sample:
            weight *= _F(sample_int[word]) * _F(2.0**-32)
        total += weight
        if negative:
            rows[count], weights[count], yes[count] = output + stride * np.int64(word), weight, weight
            count += np.uintp(1)
        if hs:
            j, end = np.uintp(hs_offsets[word]), np.uintp(hs_offsets[word + np.uintp(1)])
            # Down the path from the root, as far as words before went; from where they did not, none went further.
            while j < end:
                seat = np.uintp(seats[hs_points[j]])
                if seat >= count or rows[seat] != nodes + stride * np.int64(hs_points[j]):
                    break
                weights[seat] += weight
                yes[seat] += _ZERO if hs_codes[j] else weight
                j += np.uintp(1)
            while j < end:
                seats[hs_points[j]], rows[count] = count, nodes + stride * np.int64(hs_points[j])
                weights[count], yes[count] = weight, _ZERO if hs_codes[j] else weight
                count += np.uintp(1)
                j += np.uintp(1)
    return np.int64(count), total


@njit(**PART)
def fill_up(count, rows, weights, yes, zeros):
    """Add terms that say nothing, until there is a multiple of eight; how many there are then."""
    while count % LANES:
        rows[count], weights[count], yes[count] = zeros, _ZERO, _ZERO
        count += 1
    return count
