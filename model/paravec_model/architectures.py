"""gensim's inference by stochastic gradient descent, compiled: one loop for all architectures.

A kernel takes all documents of a call, end to end in `words` with document n from `offsets[n]` to `offsets[n + 1]`, and
moves each row of `vectors` (documents × padded vector_size) through the epochs that the tables of draws cover. A word
that sub-sampling keeps asks for a step: of the nodes above it in the tree, of itself and its noise, or both. Rows are
padded with zeros, which stay zero. `numbers`, in which a vector has its place as it moves, `indices` and `tokens` are
room to work in; `methods` says how much.
"""

import numpy as np
from numba import njit

from .compiled import BLOCK
from .descent import descend, fill_up, move, no_errors, six
from .kernels import COMPILED, PART
from .lanes import STEP, address, load, spread, store

_ZERO, _ONE = np.float32(0), np.float32(1)


@njit(**PART)
def _paths(words, rows, stride, hs_offsets, hs_points, hs_codes, targets, labels, room, counts):
    """For each word of a document, the tree nodes above it and what each should say, in its part of the room; how many.

    Behind those comes room for the word itself and its noise, which should say 1 and 0.
    """
    for i in range(words.shape[0]):
        first, k = hs_offsets[words[i]], i * room
        for j in range(first, hs_offsets[words[i] + 1]):
            targets[k], labels[k] = rows + stride * hs_points[j], _ONE - np.float32(hs_codes[j])
            k += 1
        counts[i] = k - i * room
        labels[k : (i + 1) * room] = _ZERO
        labels[k] = _ONE


@njit(**PART)
def _keep(words, sample, sample_int, raw, kept, places):
    """Sub-sample a document into `kept`, and where each word stood into `places`; how many are left."""
    count = 0
    for i in range(words.shape[0]):
        kept[count], places[count] = words[i], i
        count += 1 if not sample or sample_int[words[i]] >= raw[i] else 0
    return count


@njit(**PART)
def _sampled(word, rows, stride, negative, noise, targets):
    """The word and its noise, less the noise that is the word itself; how many."""
    targets[0] = rows + stride * word
    count = 1
    for k in range(negative):
        targets[count] = rows + stride * noise[k]
        count += 1 if noise[k] != word else 0
    return count


@njit(**PART)
def _neighbours(kept, left, i, reach, rows, stride, around):
    """The words around position i, as many as there are on each side; how many."""
    count = 0
    for m in range(max(0, i - reach), min(left, i + reach + 1)):
        around[count] = rows + stride * kept[m]
        count += 1 if m != i else 0
    return count


@njit(**PART)
def _look_around(kept, left, i, window, rows, stride, null_word, slots):
    """The words around position i, with the null word where there are none."""
    for s in range(window):
        before, after = i - window + s, i + 1 + s
        slots[s] = rows + stride * (kept[before] if before >= 0 else null_word)
        slots[window + s] = rows + stride * (kept[after] if after < left else null_word)


@njit(**PART)
def _gather(context, rows, count, size):
    """context = the sum of so many rows, rounded in their order."""
    for k in range(0, max(count, 1), BLOCK):
        a, b, c, d, e, f = six(rows[k:])
        q = 0
        while q < size:
            s = load(context, q) if k else spread(_ZERO)
            s = s + load(a, q) + load(b, q) + load(c, q) + load(d, q) + load(e, q) + load(f, q)
            store(context, q, s)
            q += STEP


@njit(**PART)
def _copy(source, target, size):
    q = 0
    while q < size:
        store(target, q, load(source, q))
        q += STEP


def _architecture(*, contextual, slotted):
    """The kernel of an architecture; numba leaves out what belongs to the others.

    `contextual`: the words around share the hidden layer with the vector. `slotted`: each has its own place beside it.
    """

    @njit(**COMPILED)
    def infer(
        words, offsets, vectors, alphas, raw, noise, windows, numbers, indices, tokens,
        negative, syn1neg, hs, syn1, hs_offsets, hs_points, hs_codes, sample, sample_int, word_vectors,
        window, mean, null_word, width, dimensions,
    ):  # fmt: skip
        pitch, stride, room = 4 * vectors.shape[1], 4 * max(syn1neg.shape[1], syn1.shape[1]), width if hs else 0
        size = pitch if slotted else 4 * dimensions
        output, nodes, inputs = address(syn1neg), address(syn1), address(word_vectors)
        vector, context = address(numbers), address(numbers) + pitch if contextual else None
        slots = indices[: 2 * window] if slotted else None
        around, targets = indices[: 2 * window + BLOCK], indices[2 * window + BLOCK :]
        zeros, errors = address(numbers) + 2 * pitch, numbers[(2 * pitch + stride) // 4 :]
        labels = errors[width:]
        kept, places, counts = tokens[0], tokens[1], tokens[2]
        labels[0] = _ONE
        for n in range(vectors.shape[0]):
            document = words[offsets[n] : offsets[n + 1]]
            _copy(address(vectors) + n * pitch, vector, size)
            last, found = (zeros, zeros, zeros, zeros, zeros, zeros), no_errors()
            if hs:
                _paths(document, nodes, stride, hs_offsets, hs_points, hs_codes, targets, labels, room, counts)
            for e in range(alphas.shape[0]):
                alpha, share = alphas[e], _ONE
                position = document.shape[0] if sample else 0
                left = _keep(document, sample, sample_int, raw[e], kept, places)
                for i in range(left):
                    if slotted:
                        _look_around(kept, left, i, window, inputs, pitch, null_word, slots)
                    if contextual:
                        count = _neighbours(kept, left, i, window - np.int64(windows[e, i]), inputs, pitch, around)
                        fill_up(around, count, zeros, BLOCK)
                        _gather(context, around, count, size)
                        # gensim takes the mean of what goes in but not of the update; of a sum, it is the reverse.
                        share = _ONE / np.float32(count + 1)
                        if not mean:
                            alpha, share = alphas[e] * share, _ONE
                    first = places[i] * room
                    count = counts[places[i]] if hs else 0
                    if hs and not contextual and not slotted:
                        # Here the nodes' step comes before the word's; else both are taken at one place.
                        if count:
                            last, found = descend(
                                vector, last, found, context, share, slots,
                                targets[first:], count, zeros, labels[first:], alpha, errors, size,
                            )  # fmt: skip
                        first, count = first + count, 0
                    if negative:
                        count += _sampled(
                            kept[i], output, stride, negative, noise[e, position:], targets[first + count :]
                        )
                        position += negative
                    if count:
                        last, found = descend(
                            vector, last, found, context, share, slots,
                            targets[first:], count, zeros, labels[first:], alpha, errors, size,
                        )  # fmt: skip
            move(vector, last, found, size)
            _copy(vector, address(vectors) + n * pitch, size)

    return infer


dbow = _architecture(contextual=False, slotted=False)
dm = _architecture(contextual=True, slotted=False)
dm_concat = _architecture(contextual=False, slotted=True)
