"""Inference as the convex problem that it is for DBOW (method `map`): one optimum, no draws, no learning rate.

While the model stays as it is, the document's vector d that makes its words most likely, under a normal prior, is where

    Σ_i w_i log σ(s_i v_i·d)  −  N (m·d + ½ d·diag(c) d)  −  λ/2 (N + 1) |d|²

is largest. There is a term for each word (negative sampling: v_i its output row, s_i = 1) and for each node on its path
(hierarchical softmax: s_i = 1 − 2 code); w_i is how often the document has it, times the probability that sub-sampling
keeps the word; N is the sum of that over the words. The middle part is what noise words contribute, expanded to second
order around 0: log σ(−x) ≈ −log 2 − x/2 − x²/8, so m = k/2 μ and c = k/4 Λ with k = `negative`, and μ and C = QΛQᵀ mean
and second moment of the output rows under the noise distribution. Rows lie rotated by Q, which makes it diagonal.

It is solved by conjugate gradients (Polak and Ribière's; Nocedal, Wright: Numerical Optimization, 2006, 5.2), in units
of the curvature that all terms but the first have, which is diagonal. As each row is one term, with how often it should
say yes and how often no, a step takes two products with the rows: how the direction changes the terms' margins v_i·d,
by which alone its length is found, and the new slope. Five steps do, or a dozen with a hierarchical softmax, for texts
of any length. Like the others, this kernel checks and allocates nothing.
"""

import numpy as np
from numba import njit

from .compiled import LANES
from .kernels import COMPILED, PART
from .lanes import STEP, add_products, address, addresses, load, spread, spread_each, store, totals, weighted
from .terms import collect, fill_up

# Here the optimum is near enough: it is no farther than the slope is long, in units of the least curvature there is.
_NEAR = np.float32(1e-4)
# What may be left of the slope along a direction when its length is found.
_LEFT = np.float32(0.25)
# Never reached, but by a model of enormous numbers.
_STEPS, _LENGTHS = 2000, 20

_EIGHT = (0,) * LANES

_F = np.float32
_ZERO, _HALF, _ONE = _F(0), _F(0.5), _F(1)


@njit(**PART)
def _sigmoid(x):
    """σ(x) within 1e-7, of plain arithmetic: a library's exp has other last bits on other machines.

    2^y = 2^k 2^r, with the Taylor polynomial of 2^r for |r| ≤ ½, and 2^k made of its bits. A sum of int32 is an
    int64 to numba, for which there is no vector instruction that makes it a float.
    """
    y = min(max(x, _F(-40)), _F(40)) * _F(-1.4426950408889634)
    k = np.int32(np.int32(y + _F(64.5)) - np.int32(64))
    r = y - _F(k)
    p = _F(1.3333558e-3) + r * _F(1.5403530e-4)
    p = _F(9.6181291e-3) + r * p
    p = _F(5.5504109e-2) + r * p
    p = _F(2.4022651e-1) + r * p
    p = _F(6.9314718e-1) + r * p
    p = _ONE + r * p
    return _ONE / (_ONE + p * np.int32(np.int32(k + np.int32(127)) << np.int32(23)).view(np.float32))


@njit(**PART)
def _products(rows, count, vector, products, size):
    """The products of the rows with a vector, eight rows at a time."""
    for k in range(0, count, LANES):
        eight = addresses(rows + 8 * k, _EIGHT)
        sums = spread_each(spread(_ZERO), _EIGHT)
        q = 0
        while q < size:
            sums = add_products(sums, load(vector, q), eight, q)
            q += STEP
        store(products, 4 * k, totals(sums))


@njit(**PART)
def _pull(rows, count, pulls, slope, size):
    """slope += Σ pull·row. From the last row on: those that `_products` had last are still in the first cache."""
    for k in range((count - 1) // LANES * LANES, -1, -LANES):
        eight = addresses(rows + 8 * k, _EIGHT)
        each = spread_each(load(pulls, 4 * k), _EIGHT)
        q = 0
        while q < size:
            store(slope, q, load(slope, q) + weighted(each, eight, q))
            q += STEP


@njit(**PART)
def _respond(weights, yes, margins, changes, length, pulls, curvatures):
    """What the terms pull when the margins have changed so far, and their curvature; the sums of both along the way."""
    along, bend = _ZERO, _ZERO
    for i in range(weights.shape[0]):
        share = _sigmoid(margins[i] + length * changes[i])
        pull, curvature = yes[i] - weights[i] * share, weights[i] * share * (_ONE - share)
        pulls[i], curvatures[i] = pull, curvature
        along += pull * changes[i]
        bend += curvature * changes[i] * changes[i]
    return along, bend


@njit(**PART)
def _length(along, bend, weights, yes, margins, changes, pulls, curvatures):
    """How far to go in a direction, and the slope along it there; from that here and from how the quadratic part bends.

    By Newton's method, which needs one step as a rule; where it would leave what is known to hold the answer, halfway.
    """
    first, low, high = along, _ZERO, _F(np.inf)
    here, there = along, bend
    for i in range(weights.shape[0]):
        here -= pulls[i] * changes[i]
        there += curvatures[i] * changes[i] * changes[i]
    length = along / there
    for _ in range(_LENGTHS):
        along, there = _respond(weights, yes, margins, changes, length, pulls, curvatures)
        along += here - length * bend
        if not abs(along) > _LEFT * first:
            break
        if along > _ZERO:
            low = length
        else:
            high = length
        length += along / (there + bend)
        if not low < length < high:
            length = _HALF * (low + high)
    return length, along


@njit(**COMPILED)
def solve(
    words, offsets, vectors, room, terms, rows, known, seats,
    negative, syn1neg, mean, curvature, basis, hs, syn1, hs_offsets, hs_points, hs_codes, sample, sample_int, prior,
):  # fmt: skip
    """Solve for each document into its row of `vectors`.

    Room to work in: `room` for seven vectors, the last of them zero, `terms` for six numbers of each term, `rows` for
    their addresses, `known` for a document's words, `seats` for a number of each node. `methods` says how much.
    """
    vector, slope, scaled, before, direction, precision = room[0], room[1], room[2], room[3], room[4], room[5]
    size, stride = prior.shape[0], 4 * max(syn1neg.shape[1], syn1.shape[1])
    for n in range(vectors.shape[0]):
        document = words[offsets[n] : offsets[n + 1]]
        count, total = collect(
            document, known, rows, terms[0], terms[1], seats,
            negative, address(syn1neg), hs, address(syn1), stride, hs_offsets, hs_points, hs_codes, sample, sample_int,
        )  # fmt: skip
        full = fill_up(count, rows, terms[0], terms[1], address(room[6]))
        weights, yes, margins = terms[0, :full], terms[1, :full], terms[2, :full]
        changes, pulls, curvatures = terms[3, :full], terms[4, :full], terms[5, :full]
        for i in range(full):
            margins[i] = changes[i] = _ZERO
        _respond(weights, yes, margins, changes, _ZERO, pulls, curvatures)
        for q in range(size):
            vector[q] = before[q] = direction[q] = _ZERO
            precision[q] = total * curvature[q] + prior[q]
        square, along = _ONE, _ZERO
        for _ in range(_STEPS):
            for q in range(size):
                slope[q] = -total * mean[q] - precision[q] * vector[q]
            _pull(address(rows), full, address(pulls), address(slope), 4 * size)
            now, mixed, far = _ZERO, _ZERO, _ZERO
            for q in range(size):
                scaled[q] = slope[q] / precision[q]
                now += scaled[q] * slope[q]
                mixed += scaled[q] * before[q]
                far += scaled[q] * scaled[q]
            # Where a row holds NaN it goes on, so that the vector does as well: zero would look like an answer.
            if far <= _NEAR * _NEAR:
                break
            turn = max((now - mixed) / square, _ZERO)
            # The slope along the direction: of its old part, what the last length left. It must lead up.
            along = now + turn * along
            if not along > _ZERO:
                turn, along = _ZERO, now
            square, bend = now, _ZERO
            for q in range(size):
                direction[q] = scaled[q] + turn * direction[q]
                before[q] = slope[q]
                bend += precision[q] * direction[q] * direction[q]
            _products(address(rows), full, address(direction), address(changes), 4 * size)
            length, along = _length(along, bend, weights, yes, margins, changes, pulls, curvatures)
            for i in range(full):
                margins[i] += length * changes[i]
            for q in range(size):
                vector[q] += length * direction[q]
        for q in range(size):
            s = vector[q]
            if negative:
                s = _ZERO
                for r in range(size):
                    s += basis[q, r] * vector[r]
            vectors[n, q] = s
