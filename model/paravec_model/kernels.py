"""gensim's inference by stochastic gradient descent, compiled: one plain loop for each architecture.

Nothing is checked in here: the artifact's indices are checked when it is opened, the options by the encoder. Nothing is
allocated or raised either, so that a kernel needs no help from numba when it runs; `compiled` says how to call them.
A kernel takes all documents of a call, end to end in `words` with document n from `offsets[n]` to `offsets[n + 1]`, and
moves each row of `vectors` (documents × padded vector_size) through the epochs that the tables of draws cover. Rows are
padded with zeros, which stay zero. Row and hidden layer may be longer than the vector (DM concat): dot products run
over all of it, updates over the vector's part, which comes first. `numbers` and `indices` are room to work in.
"""

import math

import numpy as np
from numba import config, njit

from .compiled import BLOCK, cpu

# Not for the machine at hand: two of different make shall give the same bits.
if config.CPU_NAME is None and cpu():
    config.CPU_NAME, config.CPU_FEATURES = cpu(), ""

# Sums may be reordered and fused, which lets loops use vector instructions; NaN and infinity keep their meaning, so
# that no number a damaged model holds can lead outside a table.
COMPILED = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}
# Parts of a loop are inlined by order, which took 10 to 20 % off DBOW's time.
PART = {**COMPILED, "forceinline": True}

_F = np.float32
_MULTIPLIER, _INCREMENT, _48_BITS, _16 = np.uint64(25214903917), np.uint64(11), np.uint64(2**48 - 1), np.uint64(16)
_ZERO, _ONE, _LIMIT, _SCALE = _F(0), _F(1), _F(6), _F(83)


def _sigmoid_table() -> np.ndarray:
    """gensim's EXP_TABLE: σ at 1000 points of [-6, 6), looked up at int((x + 6) * 83)."""
    powers = [_F(math.exp((_F(i / 1000 * 2) - 1) * 6)) for i in range(1000)]
    return np.array([p / (p + _ONE) for p in powers], _F)


_SIGMOID = _sigmoid_table()


@njit(**COMPILED)
def fill_draws(seeds, raw, noise, cum_table, guide, shift):
    """Lay out each epoch's stream: `raw` 32-bit draws, and `noise` the words that they stand for."""
    end = cum_table[-1]
    for e in range(seeds.shape[0]):
        state = seeds[e]
        for p in range(raw.shape[1]):
            draw = np.uint32(state >> _16)
            state = (state * _MULTIPLIER + _INCREMENT) & _48_BITS
            raw[e, p] = draw
            draw = draw % end
            word = np.uintp(guide[draw >> shift])
            while cum_table[word] < draw:
                word += np.uintp(1)
            noise[e, p] = word


@njit(**COMPILED)
def fill_windows(seeds, windows, window):
    """Lay out by how much each position's window is reduced."""
    for e in range(seeds.shape[0]):
        state = seeds[e]
        for p in range(windows.shape[1]):
            windows[e, p] = np.uint32(state >> _16) % window
            state = (state * _MULTIPLIER + _INCREMENT) & _48_BITS


@njit(**{**PART, "fastmath": False})
def _error(dot, label, alpha):
    """alpha (label − σ(dot)), and nothing where gensim's table of σ ends.

    Rounded step by step, as gensim's C is: dot + 6 drops most bits in which two sums of the same products differ.
    """
    if -_LIMIT < dot < _LIMIT:
        return (label - _SIGMOID[np.uintp((dot + _LIMIT) * _SCALE)]) * alpha
    return _ZERO


@njit(**{**PART, "fastmath": {"contract"}})
def _add(vector, rows, targets, errors, k):
    """vector += Σ error·row over six targets from k on; summed first, and so rounded into `vector` once."""
    a, b, c, d, e, f = targets[k], targets[k + 1], targets[k + 2], targets[k + 3], targets[k + 4], targets[k + 5]
    ea, eb, ec, ed, ee, ef = errors[k], errors[k + 1], errors[k + 2], errors[k + 3], errors[k + 4], errors[k + 5]
    for q in range(vector.shape[0]):
        s = ea * rows[a, q] + eb * rows[b, q] + ec * rows[c, q]
        s = s + ed * rows[d, q] + ee * rows[e, q] + ef * rows[f, q]
        vector[q] += s


@njit(**PART)
def _descend(hidden, vector, rows, targets, labels, count, alpha, errors, work):
    """vector += Σ error·row over the targets, all errors taken at the same `hidden` (which may be `vector`).

    Targets are taken six at a time; the last six are filled up with a row that is at hand, and an error of 0. Sums are
    rounded in gensim's order where that is free: its table of σ makes a step of a last bit, and the fewer last bits
    differ, the nearer the vectors stay to gensim's.
    """
    end = -(-count // BLOCK) * BLOCK
    for k in range(count, end):
        targets[k] = targets[0]
    for k in range(0, end, BLOCK):
        a, b, c, d, e, f = targets[k], targets[k + 1], targets[k + 2], targets[k + 3], targets[k + 4], targets[k + 5]
        sa, sb, sc, sd, se, sf = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
        for q in range(hidden.shape[0]):
            h = hidden[q]
            sa += h * rows[a, q]
            sb += h * rows[b, q]
            sc += h * rows[c, q]
            sd += h * rows[d, q]
            se += h * rows[e, q]
            sf += h * rows[f, q]
        errors[k], errors[k + 1] = _error(sa, labels[k], alpha), _error(sb, labels[k + 1], alpha)
        errors[k + 2], errors[k + 3] = _error(sc, labels[k + 2], alpha), _error(sd, labels[k + 3], alpha)
        errors[k + 4], errors[k + 5] = _error(se, labels[k + 4], alpha), _error(sf, labels[k + 5], alpha)
    for k in range(count, end):
        errors[k] = _ZERO
    if end == BLOCK:
        _add(vector, rows, targets, errors, 0)
    else:
        work[:] = _ZERO
        for k in range(0, end, BLOCK):
            _add(work, rows, targets, errors, k)
        for q in range(vector.shape[0]):
            vector[q] += work[q]


@njit(**PART)
def _keep(words, first, size, sample, sample_int, raw, kept):
    """Sub-sample a document into `kept`; how many words are left."""
    count = 0
    for i in range(size):
        word = words[first + i]
        kept[count] = word
        count += 1 if not sample or sample_int[word] >= raw[i] else 0
    return count


@njit(**PART)
def _path(word, hs_offsets, hs_points, hs_codes, targets, labels):
    """The tree nodes above a word and what each should say; how many."""
    first = hs_offsets[word]
    count = hs_offsets[word + 1] - first
    for k in range(count):
        targets[k] = hs_points[first + k]
        labels[k] = _ONE - _F(hs_codes[first + k])
    return count


@njit(**PART)
def _sampled(word, negative, noise, position, targets, labels):
    """The word and its noise, less the noise that is the word itself; how many."""
    targets[0] = word
    labels[0] = _ONE
    count = 1
    for k in range(negative):
        other = noise[position + k]
        labels[k + 1] = _ZERO
        if other != word:
            targets[count] = other
            count += 1
    return count


@njit(**COMPILED)
def dbow(
    words, offsets, vectors, alphas, raw, noise, windows, numbers, indices,
    negative, syn1neg, hs, syn1, hs_offsets, hs_points, hs_codes, sample, sample_int, word_vectors,
    window, mean, null_word, width,
):  # fmt: skip
    """PV-DBOW: the document's vector predicts each of its words."""
    targets, kept = indices[:width], indices[width:]
    labels, errors, numbers = numbers[:width], numbers[width : 2 * width], numbers[2 * width :]
    work = numbers[: vectors.shape[1]]
    for n in range(vectors.shape[0]):
        vector = vectors[n]
        size = offsets[n + 1] - offsets[n]
        for e in range(alphas.shape[0]):
            alpha = alphas[e]
            position = size if sample else 0
            for i in range(_keep(words, offsets[n], size, sample, sample_int, raw[e], kept)):
                if hs:
                    count = _path(kept[i], hs_offsets, hs_points, hs_codes, targets, labels)
                    _descend(vector, vector, syn1, targets, labels, count, alpha, errors, work)
                if negative:
                    count = _sampled(kept[i], negative, noise[e], position, targets, labels)
                    _descend(vector, vector, syn1neg, targets, labels, count, alpha, errors, work)
                    position += negative


@njit(**COMPILED)
def dm(
    words, offsets, vectors, alphas, raw, noise, windows, numbers, indices,
    negative, syn1neg, hs, syn1, hs_offsets, hs_points, hs_codes, sample, sample_int, word_vectors,
    window, mean, null_word, width,
):  # fmt: skip
    """PV-DM: the mean or sum of the document's vector and the context's word vectors predicts the word between."""
    targets, kept = indices[:width], indices[width:]
    labels, errors, numbers = numbers[:width], numbers[width : 2 * width], numbers[2 * width :]
    work, hidden = numbers[: vectors.shape[1]], numbers[vectors.shape[1] :]
    for n in range(vectors.shape[0]):
        vector = vectors[n]
        size = offsets[n + 1] - offsets[n]
        for e in range(alphas.shape[0]):
            position = size if sample else 0
            total = _keep(words, offsets[n], size, sample, sample_int, raw[e], kept)
            for i in range(total):
                reach = window - np.int64(windows[e, i])
                first, last = max(0, i - reach), min(total, i + reach + 1)
                hidden[:] = _ZERO
                for m in range(first, last):
                    if m != i:
                        row = kept[m]
                        for q in range(hidden.shape[0]):
                            hidden[q] += word_vectors[row, q]
                for q in range(hidden.shape[0]):
                    hidden[q] += vector[q]
                # gensim takes the mean of what goes in but not of the update; for the sum it is the other way round.
                share = _ONE / _F(last - first)
                alpha = alphas[e] if mean else alphas[e] * share
                if mean:
                    for q in range(hidden.shape[0]):
                        hidden[q] *= share
                if hs:
                    count = _path(kept[i], hs_offsets, hs_points, hs_codes, targets, labels)
                    _descend(hidden, vector, syn1, targets, labels, count, alpha, errors, work)
                if negative:
                    count = _sampled(kept[i], negative, noise[e], position, targets, labels)
                    _descend(hidden, vector, syn1neg, targets, labels, count, alpha, errors, work)
                    position += negative


@njit(**COMPILED)
def dm_concat(
    words, offsets, vectors, alphas, raw, noise, windows, numbers, indices,
    negative, syn1neg, hs, syn1, hs_offsets, hs_points, hs_codes, sample, sample_int, word_vectors,
    window, mean, null_word, width,
):  # fmt: skip
    """PV-DM: the document's vector and the context's word vectors, end to end, predict the word between."""
    targets, kept = indices[:width], indices[width:]
    labels, errors, numbers = numbers[:width], numbers[width : 2 * width], numbers[2 * width :]
    work, hidden = numbers[: vectors.shape[1]], numbers[vectors.shape[1] :]
    padded = vectors.shape[1]
    for n in range(vectors.shape[0]):
        vector = vectors[n]
        size = offsets[n + 1] - offsets[n]
        for e in range(alphas.shape[0]):
            alpha = alphas[e]
            position = size if sample else 0
            total = _keep(words, offsets[n], size, sample, sample_int, raw[e], kept)
            for i in range(total):
                for q in range(padded):
                    hidden[q] = vector[q]
                slot = padded
                for m in range(i - window, i + window + 1):
                    if m != i:
                        row = kept[m] if 0 <= m < total else np.uintp(null_word)
                        for q in range(padded):
                            hidden[slot + q] = word_vectors[row, q]
                        slot += padded
                if hs:
                    count = _path(kept[i], hs_offsets, hs_points, hs_codes, targets, labels)
                    _descend(hidden, vector, syn1, targets, labels, count, alpha, errors, work)
                if negative:
                    count = _sampled(kept[i], negative, noise[e], position, targets, labels)
                    _descend(hidden, vector, syn1neg, targets, labels, count, alpha, errors, work)
                    position += negative
