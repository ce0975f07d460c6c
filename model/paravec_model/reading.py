"""Text to rows of known words, compiled: cuts tokens as a tokenizer does that looks at one character after the other.

A table says what each character is, see `compiled`. None has longer UTF-8 than those it stands for, so a token is
written over its text.
"""

import numpy as np
from numba import njit

from .compiled import FIRST, GAP, NEW, UNREADABLE, UNSEEN
from .kernels import COMPILED, PART
from .lookup import BASIS, find, hashed

_NEW, _GAP, _FIRST = np.uint32(NEW), np.uint32(GAP), np.uint32(FIRST)

_SIX, _LOW_SIX, _MORE = np.uint32(6), np.uint32(0x3F), np.uint32(0x80)


@njit(**PART)
def _length(byte):
    """Bytes of the character that begins with this one."""
    if byte < 0x80:
        return np.uint64(1)
    if byte < 0xE0:
        return np.uint64(2)
    return np.uint64(3) if byte < 0xF0 else np.uint64(4)


@njit(**PART)
def _decoded(data, at, length):
    """The character of so many bytes."""
    code = np.uint32(data[at])
    if length > 1:
        code = code & np.uint32(0x7F) >> np.uint32(length)
    for i in range(np.uint64(1), length):
        code = code << _SIX | np.uint32(data[at + i]) & _LOW_SIX
    return code


@njit(**PART)
def _encode(code, data, at):
    """Write a character; how many bytes it has."""
    if code < 0x800:
        data[at] = np.uint8(0xC0 | code >> _SIX)
        data[at + np.uint64(1)] = np.uint8(_MORE | code & _LOW_SIX)
        return np.uint64(2)
    shift = np.uint32(12 if code < 0x10000 else 18)
    length = np.uint64(3 if code < 0x10000 else 4)
    data[at] = np.uint8((0xE0 if code < 0x10000 else 0xF0) | code >> shift)
    for i in range(np.uint64(1), length):
        shift -= _SIX
        data[at + i] = np.uint8(_MORE | code >> shift & _LOW_SIX)
    return length


@njit(**COMPILED)
def read_texts(data, ends, counts, rows, most, table, min_len, max_len, not_first, words, offsets, slots):
    """Find the rows of the known words among the first `most` tokens of each text.

    `data` is the texts' UTF-8, end to end, and is written over; `ends`: 0 and where each ends; then where its `rows`
    do. `counts`: of all its tokens. If a text cannot be read, that is said there, and nothing else holds.
    """
    known, end, unknown = 0, np.uint64(0), np.uint64(offsets.shape[0] - 1)
    for n in range(counts.shape[0]):
        at, end = end, min(np.uint64(ends[n + 1]), np.uint64(data.shape[0]))
        count, length, first = 0, 0, np.uint32(0)
        begin, write, state = at, at, BASIS
        while True:
            symbol = _GAP
            if at < end:
                size = _length(data[at])
                symbol = table[_decoded(data, at, size)]
                at += size
                if symbol < _FIRST and symbol != _GAP:
                    counts[n] = UNSEEN if symbol == _NEW else UNREADABLE
                    return
            if symbol != _GAP:
                symbol -= _FIRST
                if length == 0:
                    begin = write = at - size
                    first, state = symbol, BASIS
                length += 1
                if symbol < 0x80:
                    data[write] = np.uint8(symbol)
                    state = hashed(state, symbol)
                    write += np.uint64(1)
                else:
                    for _ in range(_encode(symbol, data, write)):
                        state = hashed(state, data[write])
                        write += np.uint64(1)
                continue
            if min_len <= length <= max_len and length > 0 and first != not_first:
                count += 1
                if count <= most:
                    row = find(state, data, begin, write, words, offsets, slots)
                    if row < unknown:
                        rows[known] = row
                        known += 1
            length = 0
            # An end is a gap.
            if at >= end:
                break
        counts[n], ends[n + 1] = count, known
