"""A step of stochastic gradient descent, as gensim takes it: a word's targets say how wrong they are, the vector moves.

Targets are rows of the output layer. They are taken six at a time, by address: as many as a CPU has registers for; but
the first three alone where that comes nearer to how many there are. What is missing is filled up with a row of zeros.
A row's place is an address, a size and a stride are in bytes.
"""

import math

import numpy as np
from numba import njit

from .compiled import BLOCK
from .kernels import PART
from .lanes import (
    STEP,
    add_products,
    address,
    addresses,
    load,
    spread,
    spread_all,
    spread_each,
    store,
    total,
    weighted,
)

_F = np.float32
_ZERO, _ONE, _LIMIT, _SCALE = _F(0), _F(1), _F(6), _F(83)
_NO_ERRORS = (_ZERO, _ZERO, _ZERO)
_THREE, _SIX = (0,) * 3, (0,) * BLOCK


def _sigmoid_table() -> np.ndarray:
    """gensim's EXP_TABLE: σ at 1000 points of [-6, 6), looked up at int((x + 6) * 83)."""
    powers = [_F(math.exp((_F(i / 1000 * 2) - 1) * 6)) for i in range(1000)]
    return np.array([p / (p + _ONE) for p in powers], _F)


_SIGMOID = _sigmoid_table()


@njit(**{**PART, "fastmath": False})
def _error(dot, label, alpha):
    """alpha (label − σ(dot)), and nothing where gensim's table of σ ends.

    Rounded step by step, as gensim's C is: dot + 6 drops most bits in which two sums of the same products differ.
    """
    if abs(dot) < _LIMIT:
        return (label - _SIGMOID[np.uint32(np.int32((dot + _LIMIT) * _SCALE))]) * alpha
    return _ZERO


@njit(**PART)
def _three_errors(sums, labels, alpha):
    a, b, c = sums
    return (
        _error(total(a), labels[0], alpha), _error(total(b), labels[1], alpha), _error(total(c), labels[2], alpha)
    )  # fmt: skip


@njit(**PART)
def _six_errors(sums, labels, alpha):
    a, b, c, d, e, f = sums
    return (
        _error(total(a), labels[0], alpha), _error(total(b), labels[1], alpha), _error(total(c), labels[2], alpha),
        _error(total(d), labels[3], alpha), _error(total(e), labels[4], alpha), _error(total(f), labels[5], alpha),
    )  # fmt: skip


@njit(**PART)
def no_errors():
    return _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO


@njit(**PART)
def six(array):
    return array[0], array[1], array[2], array[3], array[4], array[5]


@njit(**PART)
def _put_six(array, k, numbers):
    array[k], array[k + 1], array[k + 2], array[k + 3], array[k + 4], array[k + 5] = numbers


@njit(**PART)
def add_dots(sums, at, rows, shift, size):
    """To each row's sum, the products of the vector at an address with the row from byte `shift` on."""
    q = 0
    while q < size:
        sums = add_products(sums, load(at, q), rows, shift + q)
        q += STEP
    return sums


@njit(**PART)
def move(vector, rows, errors, size):
    """vector += Σ error·row; summed first, and so rounded into the vector once."""
    each = spread_all(errors)
    q = 0
    while q < size:
        store(vector, q, load(vector, q) + weighted(each, rows, q))
        q += STEP


@njit(**PART)
def _beside(sums, slots, rows, size):
    """To each row's sum, the products of the words in the slots with their parts of the row."""
    if slots is not None:
        for s in range(slots.shape[0]):
            sums = add_dots(sums, slots[s], rows, (s + 1) * size, size)
    return sums


@njit(**PART)
def _move_and_dots(vector, last, errors, context, share, slots, rows, size):
    """`move` by the last targets and dots with the next ones, in one pass: so neither waits for the other's loads.

    With a context, which is the sum of the words around, that and the vector become the hidden layer in its place.
    """
    sums, each = spread_each(spread(_ZERO), rows), spread_all(errors)
    q = 0
    while q < size:
        h = load(vector, q) + weighted(each, last, q)
        store(vector, q, h)
        if context is not None:
            h = (load(context, q) + h) * spread(share)
            store(context, q, h)
        sums = add_products(sums, h, rows, q)
        q += STEP
    return _beside(sums, slots, rows, size)


@njit(**PART)
def fill_up(targets, count, zeros, rest):
    for k in range(count, count + rest):
        targets[np.uintp(k)] = zeros  # a signed index could be one from the end, which takes a look


@njit(**PART)
def descend(vector, last, last_errors, context, share, slots, targets, count, zeros, labels, alpha, errors, size):
    """The step that a word's targets ask for: all errors are taken at one place, then the vector moves.

    By the last six targets, which are returned with their errors, it moves in the pass over the next word's first.
    """
    fill_up(targets, count, zeros, 2)
    at, hidden = address(targets), vector if context is None else context
    odd = (count + 2) // 3 % 2 == 1
    if odd:
        three = addresses(at, _THREE)
        sums_of_three = _move_and_dots(vector, last, last_errors, context, share, slots, three, size)
        found = _three_errors(sums_of_three, labels, alpha) + _NO_ERRORS
        rows, begin = (three[0], three[1], three[2], zeros, zeros, zeros), 3
    else:
        rows, begin = addresses(at, _SIX), 6
        found = _six_errors(_move_and_dots(vector, last, last_errors, context, share, slots, rows, size), labels, alpha)
    if count <= begin:
        return rows, found
    first = found
    for k in range(begin, count, BLOCK):
        if k > begin:
            _put_six(errors, k - BLOCK, found)
        rows = addresses(at + 8 * k, _SIX)
        sums = _beside(add_dots(spread_each(spread(_ZERO), rows), hidden, rows, 0, size), slots, rows, size)
        found = _six_errors(sums, labels[k:], alpha)
    if odd:
        move(vector, addresses(at, _THREE), first[:3], size)
    else:
        move(vector, addresses(at, _SIX), first, size)
    for k in range(begin, count - BLOCK, BLOCK):
        move(vector, addresses(at + 8 * k, _SIX), six(errors[k:]), size)
    return rows, found
