"""The hash table that finds the rows of words, compiled: how it is filled, and how tokens are looked up in it.

Words and tokens are bytes of UTF-8, end to end; word r lies in `words` from `offsets[r]` to `offsets[r + 1]`. `slots`
is an open table with linear probing, its length a power of two: a slot's upper half is that of the word's hash, its
lower half the row + 1; 0 is an empty slot. The arrays are an artifact's and may hold anything: none of their numbers is
followed unchecked, and a search ends after some thousand slots: a word that lies further off is not found, and the
table not sound.
"""

import numpy as np
from numba import njit

from .kernels import COMPILED, PART

BASIS, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_ONE, _HALF, _LOWER = np.uint64(1), np.uint64(32), np.uint64(2**32 - 1)
# The longest run of slots without an empty one is some dozens long, a table being half empty at least.
_LONGEST_SEARCH = 1024

_MARK, _CONTINUATION = np.uint8(0xC0), np.uint8(0x80)


@njit(**PART)
def hashed(state, byte):
    """One byte further in FNV-1a."""
    return (state ^ np.uint64(byte)) * _PRIME


@njit(**PART)
def _same(text, begin, end, words, offsets, row):
    """Whether the token at [begin, end) of `text` is the word of a row."""
    first, last = np.uint64(offsets[row]), np.uint64(offsets[row + _ONE])
    if first > last or last > np.uint64(words.shape[0]) or last - first != end - begin:
        return False
    for i in range(end - begin):  # noqa: SIM110  # numba has no all()
        if words[first + np.uint64(i)] != text[begin + np.uint64(i)]:
            return False
    return True


@njit(**PART)
def find(state, text, begin, end, words, offsets, slots):
    """The row of a token of this hash; as many as there are rows if it is no word."""
    rows = np.uint64(offsets.shape[0] - 1)
    mask = np.uint64(slots.shape[0] - 1)
    for step in range(min(slots.shape[0], _LONGEST_SEARCH)):
        slot = slots[(state + np.uint64(step)) & mask]
        if slot == 0:
            break
        if (slot ^ state) >> _HALF == 0:
            row = (slot & _LOWER) - _ONE
            if row < rows and _same(text, begin, end, words, offsets, row):
                return row
    return rows


@njit(**COMPILED)
def fill_slots(words, offsets, slots):
    """Fill an empty table, which needs more slots than there are words."""
    mask = np.uint64(slots.shape[0] - 1)
    for row in range(offsets.shape[0] - 1):
        state = BASIS
        for i in range(offsets[row], offsets[row + 1]):
            state = hashed(state, words[i])
        place = state & mask
        while slots[place] != 0:
            place = (place + _ONE) & mask
        slots[place] = (state & ~_LOWER) | (np.uint64(row) + _ONE)


@njit(**COMPILED)
def look_up(text, tokens, ends, words, offsets, slots):
    """Find the rows of the documents' tokens, whose bytes are `text`; what is asked is overwritten with the answer.

    `tokens`: the length of each token in characters; then the rows of the known ones. `ends`: 0 and where each
    document's tokens end; then where its known ones do.
    """
    rows, size = np.uint64(offsets.shape[0] - 1), np.uint64(text.shape[0])
    end, first, known = np.uint64(0), 0, 0
    for document in range(1, ends.shape[0]):
        for i in range(first, ends[document]):
            left, begin, state = tokens[i], end, BASIS
            # A character is a byte that begins it and those that continue it.
            while end < size and (left > 0 or text[end] & _MARK == _CONTINUATION):
                left -= np.uint32(text[end] & _MARK != _CONTINUATION)
                state = hashed(state, text[end])
                end += _ONE
            row = find(state, text, begin, end, words, offsets, slots)
            if row < rows:
                tokens[known] = row
                known += 1
        first = ends[document]
        ends[document] = known
