"""Inference as the convex problem that it is for DBOW (method `map`): one optimum, no draws, no learning rate.

While the model stays as it is, the document's vector d that makes its words most likely, under a normal prior, is where

    Σ_i w_i log σ(s_i v_i·d)  −  N (m·d + ½ d·diag(c) d)  −  λ/2 (N + 1) |d|²

is largest. There is a term for each word (negative sampling: v_i its output row, s_i = 1) and for each node on its path
(hierarchical softmax: s_i = 1 − 2 code); w_i is how often the document has it, times the probability that sub-sampling
keeps the word; N is the sum of that over the words. The middle part is what noise words contribute, expanded to second
order around 0: log σ(−x) ≈ −log 2 − x/2 − x²/8, so m = k/2 μ and c = k/4 Λ with k = `negative`, and μ and C = QΛQᵀ mean
and second moment of the output rows under the noise distribution. Rows lie rotated by Q, which makes it diagonal.

It is solved by Newton's method: a step leads to where a quadratic of the same slope and curvature is largest, found
nearly by conjugate gradients, preconditioned by the curvature's diagonal (Nocedal, Wright: Numerical Optimization,
2006, 7.1), which takes products with the rows alone; it is halved while it leads too far. Three to six steps do, for
texts of any length. Like the others, this kernel checks and allocates nothing.
"""

import numpy as np
from numba import njit

from .kernels import COMPILED, PART

# A step is found to _NEARLY of it: the next one starts from a better place. So after a step shorter than _SHORT, the
# vector is within some 1e-5 of the optimum.
_NEARLY, _SHORT = np.float32(0.1), np.float32(2e-4)
# Never reached, but by a model of enormous numbers.
_STEPS, _DIRECTIONS, _HALVINGS = 50, 60, 20

_F = np.float32
_ZERO, _HALF, _ONE = _F(0), _F(0.5), _F(1)


@njit(**PART)
def _sigmoid(x):
    """σ(x) within 1e-7, of plain arithmetic: a library's exp has other last bits on other machines.

    2^y = 2^k 2^r, with the Taylor polynomial of 2^r for |r| ≤ ½, and 2^k made of its bits.
    """
    y = min(max(x, _F(-40)), _F(40)) * _F(-1.4426950408889634)
    k = np.int32(y + _F(64.5)) - np.int32(64)
    r = y - _F(k)
    p = _F(1.3333558e-3) + r * _F(1.5403530e-4)
    p = _F(9.6181291e-3) + r * p
    p = _F(5.5504109e-2) + r * p
    p = _F(2.4022651e-1) + r * p
    p = _F(6.9314718e-1) + r * p
    p = _ONE + r * p
    return _ONE / (_ONE + p * np.int32((k + np.int32(127)) << np.int32(23)).view(np.float32))


@njit(**PART)
def _slope(rows, keys, weights, margins, curvatures, slope, diagonal):
    """Add what the terms have to the slope, and to the diagonal of the curvature; and remember each one's curvature."""
    for i in range(keys.shape[0]):
        row, sign = keys[i] >> np.uint64(1), _ONE - _F(keys[i] & np.uint64(1)) * _F(2)
        share = _sigmoid(-margins[i])
        pull, curvature = weights[i] * share * sign, weights[i] * share * (_ONE - share)
        curvatures[i] = curvature
        for q in range(slope.shape[0]):
            value = rows[row, q]
            slope[q] += pull * value
            diagonal[q] += curvature * value * value


@njit(**PART)
def _multiply(rows, keys, curvatures, direction, product):
    """Add what the terms have to the product of the curvature with a direction."""
    for i in range(keys.shape[0]):
        row = keys[i] >> np.uint64(1)
        s = _ZERO
        for q in range(direction.shape[0]):
            s += rows[row, q] * direction[q]
        s *= curvatures[i]
        for q in range(direction.shape[0]):
            product[q] += s * rows[row, q]


@njit(**PART)
def _changes(rows, keys, step, changes):
    """By how much a step changes the terms' margins s_i v_i·d."""
    for i in range(keys.shape[0]):
        row, sign = keys[i] >> np.uint64(1), _ONE - _F(keys[i] & np.uint64(1)) * _F(2)
        s = _ZERO
        for q in range(step.shape[0]):
            s += rows[row, q] * step[q]
        changes[i] = s * sign


@njit(**PART)
def _length(weights, margins, changes, first, second):
    """How much of a step to take: all, a half, a quarter, ... until the slope along it, first + second·length + terms',
    no longer leads back."""
    length = _ONE
    for _ in range(_HALVINGS):
        along = first + second * length
        for i in range(weights.shape[0]):
            along += weights[i] * _sigmoid(-(margins[i] + length * changes[i])) * changes[i]
        if along > _NEARLY * second:
            break
        length *= _HALF
    return length


@njit(**PART)
def _sort(keys, weights):
    """Shell's sort, which takes no room."""
    gap = 1
    while gap * 3 < keys.shape[0]:
        gap = gap * 3 + 1
    while gap > 0:
        for i in range(gap, keys.shape[0]):
            key, weight = keys[i], weights[i]
            j = i
            while j >= gap and keys[j - gap] > key:
                keys[j], weights[j] = keys[j - gap], weights[j - gap]
                j -= gap
            keys[j], weights[j] = key, weight
        gap //= 3


@njit(**PART)
def _merge(keys, weights):
    """Sort, and make one term of equal ones; how many are left. So no order of words can make a difference."""
    _sort(keys, weights)
    count = 0
    for i in range(keys.shape[0]):
        if count and keys[count - 1] == keys[i]:
            weights[count - 1] += weights[i]
        else:
            keys[count], weights[count] = keys[i], weights[i]
            count += 1
    return count


@njit(**COMPILED)
def solve(
    words, offsets, vectors, numbers, indices,
    negative, syn1neg, mean, curvature, basis, hs, syn1, hs_offsets, hs_points, hs_codes, sample, sample_int, prior,
):  # fmt: skip
    """Solve for each document into its row of `vectors`; in `indices` there is room for each
    term, in `numbers` for eight vectors and for four numbers of each term.

    A term's key is twice its row, plus the code. The words come first in the room, then the nodes.
    """
    size, room = prior.shape[0], indices.shape[0]
    vector, slope, step = numbers[:size], numbers[size : 2 * size], numbers[2 * size : 3 * size]
    rest, direction, product = numbers[3 * size : 4 * size], numbers[4 * size : 5 * size], numbers[5 * size : 6 * size]
    scale, precision, numbers = numbers[6 * size : 7 * size], numbers[7 * size : 8 * size], numbers[8 * size :]
    weights, margins = numbers[:room], numbers[room : 2 * room]
    changes, curvatures = numbers[2 * room : 3 * room], numbers[3 * room : 4 * room]
    for n in range(vectors.shape[0]):
        count = offsets[n + 1] - offsets[n]
        for i in range(count):
            indices[i] = np.uint64(words[offsets[n] + i]) << np.uint64(1)
            weights[i] = _ONE
        known = _merge(indices[:count], weights[:count])
        total = _ZERO
        for i in range(known):
            if sample:
                weights[i] *= _F(sample_int[indices[i] >> np.uint64(1)]) * _F(2.0**-32)
            total += weights[i]
        end = known
        if hs:
            for i in range(known):
                word = indices[i] >> np.uint64(1)
                for j in range(hs_offsets[word], hs_offsets[word + np.uint64(1)]):
                    indices[end] = (np.uint64(hs_points[j]) << np.uint64(1)) + np.uint64(hs_codes[j])
                    weights[end] = weights[i]
                    end += 1
            end = known + _merge(indices[known:end], weights[known:end])
        first = 0 if negative else known
        for i in range(first, end):
            margins[i] = _ZERO
        for q in range(size):
            vector[q] = _ZERO
            precision[q] = total * curvature[q] + prior[q]
        for _ in range(_STEPS):
            for q in range(size):
                slope[q] = -total * mean[q] - precision[q] * vector[q]
                scale[q] = precision[q]
            if negative:
                _slope(syn1neg, indices[:known], weights, margins, curvatures, slope, scale)
            if hs:
                _slope(syn1, indices[known:end], weights[known:], margins[known:], curvatures[known:], slope, scale)
            square = _ZERO
            for q in range(size):
                scale[q] = _ONE / scale[q]
                rest[q] = slope[q]
                direction[q] = scale[q] * rest[q]
                step[q] = _ZERO
                square += rest[q] * direction[q]
            enough = _NEARLY * _NEARLY * square
            for _ in range(_DIRECTIONS):
                for q in range(size):
                    product[q] = precision[q] * direction[q]
                if negative:
                    _multiply(syn1neg, indices[:known], curvatures, direction, product)
                if hs:
                    _multiply(syn1, indices[known:end], curvatures[known:], direction, product)
                bend = _ZERO
                for q in range(size):
                    bend += direction[q] * product[q]
                if not bend > _ZERO:
                    break
                far, before = square / bend, square
                square = _ZERO
                for q in range(size):
                    step[q] += far * direction[q]
                    rest[q] -= far * product[q]
                    square += rest[q] * rest[q] * scale[q]
                if not square > enough:
                    break
                for q in range(size):
                    direction[q] = scale[q] * rest[q] + square / before * direction[q]
            if negative:
                _changes(syn1neg, indices[:known], step, changes)
            if hs:
                _changes(syn1, indices[known:end], step, changes[known:])
            along, back = _ZERO, _ZERO
            for q in range(size):
                along -= (total * mean[q] + precision[q] * vector[q]) * step[q]
                back -= precision[q] * step[q] * step[q]
            length = _length(weights[first:end], margins[first:end], changes[first:end], along, back)
            moved = _ZERO
            for q in range(size):
                vector[q] += length * step[q]
                moved += length * step[q] * length * step[q]
            for i in range(first, end):
                margins[i] += length * changes[i]
            if not moved > _SHORT * _SHORT:
                break
        for q in range(size):
            s = vector[q]
            if negative:
                s = _ZERO
                for r in range(size):
                    s += basis[q, r] * vector[r]
            vectors[n, q] = s
