"""How kernels are compiled, and those that lay out draws.

Little is checked in a kernel: what can be is checked when the artifact is opened, the options by the encoder. Nothing
is allocated or raised either, so that it needs no help from numba when it runs; `compiled` says how to call it.
"""

import numpy as np
from numba import config, njit

from .libraries import cpu

# Not for the machine at hand: two of different make shall give the same bits.
if config.CPU_NAME is None and cpu():
    config.CPU_NAME, config.CPU_FEATURES = cpu(), ""

# Sums may be reordered and fused, which lets loops use vector instructions; NaN and infinity keep their meaning, so
# that no number a damaged model holds can lead outside a table. Without numba's counts of who holds an array (_nrt),
# which nothing here needs and which took a sixth of the time.
COMPILED = {"nogil": True, "_nrt": False, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}
# Parts of a loop are inlined by order, which took 10 to 20 % off DBOW's time.
PART = {**COMPILED, "forceinline": True}

_MULTIPLIER, _INCREMENT, _48_BITS, _16 = np.uint64(25214903917), np.uint64(11), np.uint64(2**48 - 1), np.uint64(16)


@njit(**COMPILED)
def fill_draws(seeds, raw, noise, cum_table, guide, shift):
    """Lay out each epoch's stream: `raw` 32-bit draws, and `noise` the words that they stand for."""
    end, last = cum_table[-1], np.uintp(cum_table.shape[0] - 1)
    for e in range(seeds.shape[0]):
        state = seeds[e]
        for p in range(raw.shape[1]):
            draw = np.uint32(state >> _16)
            state = (state * _MULTIPLIER + _INCREMENT) & _48_BITS
            raw[e, p] = draw
            draw = draw % end
            word = min(np.uintp(guide[draw >> shift]), last)
            # Ends at the last word, as draws are below `end`.
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
