"""A step of stochastic gradient descent, as gensim takes it: a word's targets say how wrong they are, the vector moves.

Targets are rows of the output layer. They are taken six at a time, by address: as many as a CPU has registers for. Six
that are not full are filled up with a row of zeros. A row's place is an address, a size and a stride are in bytes.
"""

import math

import numpy as np
from numba import njit

from .compiled import BLOCK
from .kernels import PART
from .lanes import STEP, load, spread, store, total

_F = np.float32
_ZERO, _ONE, _LIMIT, _SCALE = _F(0), _F(1), _F(6), _F(83)


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
def _errors(sums, labels, alpha):
    a, b, c, d, e, f = sums
    return (
        _error(total(a), labels[0], alpha), _error(total(b), labels[1], alpha), _error(total(c), labels[2], alpha),
        _error(total(d), labels[3], alpha), _error(total(e), labels[4], alpha), _error(total(f), labels[5], alpha),
    )  # fmt: skip


@njit(**PART)
def six(array):
    return array[0], array[1], array[2], array[3], array[4], array[5]


@njit(**PART)
def _spread(numbers):
    a, b, c, d, e, f = numbers
    return spread(a), spread(b), spread(c), spread(d), spread(e), spread(f)


@njit(**PART)
def no_errors():
    return _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO


@njit(**PART)
def _pull(rows, errors, q):
    """Σ error·row over six targets at byte q; summed first, and so rounded into the vector once."""
    a, b, c, d, e, f = rows
    ea, eb, ec, ed, ee, ef = errors
    s = ea * load(a, q) + eb * load(b, q) + ec * load(c, q)
    return s + (ed * load(d, q) + ee * load(e, q) + ef * load(f, q))


@njit(**PART)
def _dot(sums, h, rows, q):
    """To six sums, the products of h with the rows at byte q."""
    a, b, c, d, e, f = rows
    sa, sb, sc, sd, se, sf = sums
    return (
        sa + h * load(a, q), sb + h * load(b, q), sc + h * load(c, q),
        sd + h * load(d, q), se + h * load(e, q), sf + h * load(f, q),
    )  # fmt: skip


@njit(**PART)
def _dots(sums, at, rows, shift, size):
    """To six sums, the products of the vector at an address with the rows from byte `shift` on."""
    q = 0
    while q < size:
        sums = _dot(sums, load(at, q), rows, shift + q)
        q += STEP
    return sums


@njit(**PART)
def move(vector, rows, errors, size):
    """vector += Σ error·row over six targets."""
    each = _spread(errors)
    q = 0
    while q < size:
        store(vector, q, load(vector, q) + _pull(rows, each, q))
        q += STEP


@njit(**PART)
def _move_and_dots(vector, last, errors, context, share, rows, size):
    """`move` by the last targets and `_dots` with the next ones, in one pass: so neither waits for the other's loads.

    With a context, which is the sum of the words around, that and the vector become the hidden layer in its place.
    """
    sums, each = _spread(no_errors()), _spread(errors)
    q = 0
    while q < size:
        h = load(vector, q) + _pull(last, each, q)
        store(vector, q, h)
        if context is not None:
            h = (load(context, q) + h) * spread(share)
            store(context, q, h)
        sums = _dot(sums, h, rows, q)
        q += STEP
    return sums


@njit(**PART)
def _beside(sums, slots, rows, size):
    """To six sums, the products of the words in the slots with their parts of the rows."""
    for s in range(slots.shape[0]):
        sums = _dots(sums, slots[s], rows, (s + 1) * size, size)
    return sums


@njit(**PART)
def fill_up(targets, count, zeros):
    for k in range(count, count + BLOCK):
        targets[k] = zeros


@njit(**PART)
def descend(vector, last, last_errors, context, share, slots, targets, count, zeros, labels, alpha, errors, size):
    """The step that a word's targets ask for: all errors are taken at one place, then the vector moves.

    By the last six targets, which are returned with their errors, it moves in the pass over the next word's first six.
    """
    fill_up(targets, count, zeros)
    rows = six(targets)
    sums = _move_and_dots(vector, last, last_errors, context, share, rows, size)
    if slots is not None:
        sums = _beside(sums, slots, rows, size)
    found = _errors(sums, labels, alpha)
    for k in range(BLOCK, count, BLOCK):
        errors[k - 6], errors[k - 5], errors[k - 4], errors[k - 3], errors[k - 2], errors[k - 1] = found
        rows = six(targets[k:])
        sums = _spread(no_errors())
        sums = _dots(sums, vector if context is None else context, rows, 0, size)
        if slots is not None:
            sums = _beside(sums, slots, rows, size)
        found = _errors(sums, labels[k:], alpha)
    for k in range(0, count - BLOCK, BLOCK):
        move(vector, six(targets[k:]), six(errors[k:]), size)
    return rows, found
