"""Random draws as pure functions of (seed, epoch, position), so that a text has the same vector everywhere.

gensim draws from generators that all calls share, and starts vectors from Python's salted `hash`. Here each epoch has
two streams, one for sub-sampling and noise and one for window sizes. SplitMix64 of (seed, epoch) seeds them. Within an
epoch they run through gensim's 48-bit linear congruential generator, so gensim makes the same draws from these seeds.
No stream depends on the document, so tables of the draws are computed once and shared.
"""

import threading
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from ..artifact.noise import Noise
from ..kernels.interface import Structure, address, kernel

Uints = npt.NDArray[np.uint32]
Seeds = npt.NDArray[np.uint64]

MAX_KEPT_DRAWS = 2**21
"""Tables of more draws are not kept: 2^21 draws for noise and sub-sampling take 16 MiB."""

_GOLDEN = 0x9E3779B97F4A7C15
_MAX_KEPT_SEEDS = 4


def _splitmix64(x: Seeds) -> Seeds:
    """The output function of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _stream(seed: int, salt: int, count: int) -> Seeds:
    """`count` 64-bit numbers of the stream (seed, salt)."""
    start = _splitmix64(np.array([(seed + (salt + 1) * _GOLDEN) % 2**64], np.uint64))
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    return _splitmix64(start + steps)


@lru_cache(maxsize=64)
def start_vector(seed: int, vector_size: int) -> npt.NDArray[np.float32]:
    """The initial vector, shape (vector_size,): uniform in ±0.5 / vector_size, as gensim's."""
    uniform = (_stream(seed, 0, vector_size) >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
    start = (uniform - np.float32(0.5)) / np.float32(vector_size)
    start.flags.writeable = False
    return start


def epoch_seeds(seed: int, epochs: int) -> Seeds:
    """The first 48-bit state of each epoch's stream for noise and sub-sampling, shape (epochs,)."""
    return _stream(seed, 1, epochs) >> np.uint64(16)


def window_seeds(seed: int, epochs: int) -> Seeds:
    """The first 48-bit state of each epoch's stream for window sizes, shape (epochs,)."""
    return _stream(seed, 2, epochs) >> np.uint64(16)


@dataclass(frozen=True)
class Draws:
    """Tables of draws for a range of epochs: a row for each epoch, a column for each position of the stream."""

    raw: Uints
    """32-bit draws, for sub-sampling."""
    noise: Uints
    """The same draws as noise words."""
    windows: Uints
    """By how much each position's window is reduced, 0 to window - 1."""

    @cached_property
    def structure(self) -> Structure:
        """The tables for kernels."""
        return Structure("draws", raw=self.raw, noise=self.noise, windows=self.windows)

    @property
    def epochs(self) -> int:
        """Epochs covered."""
        return len(self.windows)

    @property
    def tokens(self) -> int:
        """Tokens covered."""
        return int(self.windows.shape[1])

    def covers(self, epochs: int, tokens: int) -> bool:
        """Whether the tables are large enough for documents of `tokens` tokens."""
        return epochs <= self.epochs and tokens <= self.tokens


class RandomTables:
    """Computes the draws for documents of one model, and keeps those of the latest four seeds. Threads may share it."""

    def __init__(self, noise: Noise, negative: int, window: int) -> None:
        """`negative`: noise words for each position. `window`: largest window; 1 if windows are never reduced."""
        self._negative, self._window = negative, window
        self._noise = Structure("noise", cum_table=noise.cum_table, guide=noise.guide, shift=noise.shift)
        self._kept: dict[int, Draws] = {}
        self._lock = threading.Lock()

    def draws(self, seed: int, first: int, last: int, tokens: int) -> Draws:
        """Draws for the epochs [first, last), and perhaps more, for documents of up to `tokens` tokens."""
        tokens = _rounded_up(tokens)
        kept = self._kept.get(seed)
        if kept is None or not kept.covers(last, tokens):
            if not self._fits(last, tokens):
                return self._compute(seed, first, last, tokens)
            if kept is not None and self._fits(max(last, kept.epochs), max(tokens, kept.tokens)):
                kept = self._compute(seed, 0, max(last, kept.epochs), max(tokens, kept.tokens))
            else:
                kept = self._compute(seed, 0, last, tokens)
            # Computed outside the lock: two threads may compute the same tables, which are equal.
            with self._lock:
                self._kept.pop(seed, None)
                self._kept[seed] = kept
                if len(self._kept) > _MAX_KEPT_SEEDS:
                    del self._kept[next(iter(self._kept))]
        return Draws(kept.raw[first:], kept.noise[first:], kept.windows[first:]) if first else kept

    def _fits(self, epochs: int, tokens: int) -> bool:
        return epochs * tokens * (1 + self._negative) <= MAX_KEPT_DRAWS

    def _compute(self, seed: int, first: int, last: int, tokens: int) -> Draws:
        shape = (last - first, tokens * (1 + self._negative))
        raw, noise = np.empty(shape, np.uint32), np.empty(shape, np.uint32)
        seeds = epoch_seeds(seed, last)[first:]
        kernel("fill_draws")(self._noise.address, address(seeds), *shape, address(raw), address(noise))
        windows = np.zeros((last - first, tokens), np.uint32)
        if self._window > 1:
            seeds = window_seeds(seed, last)[first:]
            kernel("fill_windows")(self._window, address(seeds), *windows.shape, address(windows))
        return Draws(raw, noise, windows)


def _rounded_up(tokens: int) -> int:
    """The next power of two, at least 64, so that tables do not grow with each slightly longer document."""
    return max(64, 1 << (tokens - 1).bit_length())
