"""Random draws as pure functions of (seed, epoch, position), so that a text has one vector everywhere.

gensim draws from generators that all calls share, and starts from Python's salted `hash`. Here each epoch has two
streams of its own, seeded by SplitMix64 of (seed, epoch): one for sub-sampling and noise, one for window sizes. Within
an epoch the streams run through gensim's own 48-bit linear congruential generator, so gensim fed with these seeds
makes the same draws. No stream depends on the document, so their values are laid out in tables once and shared.
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

TABLE_ENTRIES = 2**21
"""Largest tables that are kept, in draws: 2^21 are 16 MiB of noise and sub-sampling. Larger ones are made each time."""

_GOLDEN = 0x9E3779B97F4A7C15
_KEPT_SEEDS = 4


def _splitmix64(x: Seeds) -> Seeds:
    """Output function of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014)."""
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
    """The vector that inference starts from, shape (vector_size,): uniform in ±0.5 / vector_size, as gensim's is."""
    uniform = (_stream(seed, 0, vector_size) >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
    start = (uniform - np.float32(0.5)) / np.float32(vector_size)
    start.flags.writeable = False
    return start


def epoch_seeds(seed: int, epochs: int) -> Seeds:
    """48-bit states that each epoch's stream of noise and sub-sampling starts from, shape (epochs,)."""
    return _stream(seed, 1, epochs) >> np.uint64(16)


def window_seeds(seed: int, epochs: int) -> Seeds:
    """48-bit states that each epoch's stream of window sizes starts from, shape (epochs,)."""
    return _stream(seed, 2, epochs) >> np.uint64(16)


@dataclass(frozen=True)
class Draws:
    """Draws for a range of epochs; each table has a row for an epoch and a column for a position of its stream."""

    raw: Uints
    """32-bit draws, for sub-sampling."""
    noise: Uints
    """The same draws as noise words."""
    windows: Uints
    """How much each position's window is reduced, 0 to window - 1."""

    @cached_property
    def structure(self) -> Structure:
        """The tables as kernels take them."""
        return Structure("draws", raw=self.raw, noise=self.noise, windows=self.windows)

    @property
    def epochs(self) -> int:
        """Epochs covered."""
        return len(self.windows)

    @property
    def tokens(self) -> int:
        """Tokens covered."""
        return int(self.windows.shape[1])

    def cover(self, epochs: int, tokens: int) -> bool:
        """Whether these serve so many epochs of documents of so many tokens."""
        return epochs <= self.epochs and tokens <= self.tokens


class RandomTables:
    """Makes the tables of draws that one model's documents need, and keeps those of the latest seeds."""

    def __init__(self, noise: Noise, negative: int, window: int) -> None:
        """`negative`: draws for each position; `window`: 1 if windows are never reduced."""
        self._negative, self._window = negative, window
        self._noise = Structure("noise", cum_table=noise.cum_table, guide=noise.guide, shift=noise.shift)
        self._kept: dict[int, Draws] = {}
        self._lock = threading.Lock()

    def draws(self, seed: int, first: int, last: int, tokens: int) -> Draws:
        """Tables of the epochs [first, last) and perhaps later ones, for documents of up to `tokens` tokens."""
        tokens = _rounded(tokens)
        kept = self._kept.get(seed)
        if kept is None or not kept.cover(last, tokens):
            if not self._fits(last, tokens):
                return self._make(seed, first, last, tokens)
            if kept is not None and self._fits(max(last, kept.epochs), max(tokens, kept.tokens)):
                kept = self._make(seed, 0, max(last, kept.epochs), max(tokens, kept.tokens))
            else:
                kept = self._make(seed, 0, last, tokens)
            # Made outside the lock: two threads may make the same, which costs time and changes nothing.
            with self._lock:
                self._kept.pop(seed, None)
                self._kept[seed] = kept
                if len(self._kept) > _KEPT_SEEDS:
                    del self._kept[next(iter(self._kept))]
        return Draws(kept.raw[first:], kept.noise[first:], kept.windows[first:]) if first else kept

    def _fits(self, epochs: int, tokens: int) -> bool:
        return epochs * tokens * (1 + self._negative) <= TABLE_ENTRIES

    def _make(self, seed: int, first: int, last: int, tokens: int) -> Draws:
        shape = (last - first, tokens * (1 + self._negative))
        raw, noise = np.empty(shape, np.uint32), np.empty(shape, np.uint32)
        seeds = epoch_seeds(seed, last)[first:]
        kernel("fill_draws")(self._noise.address, address(seeds), *shape, address(raw), address(noise))
        windows = np.zeros((last - first, tokens), np.uint32)
        if self._window > 1:
            seeds = window_seeds(seed, last)[first:]
            kernel("fill_windows")(self._window, address(seeds), *windows.shape, address(windows))
        return Draws(raw, noise, windows)


def _rounded(tokens: int) -> int:
    """Room for the next longer documents too, so that tables are not remade for each new length."""
    return max(64, 1 << (tokens - 1).bit_length())
