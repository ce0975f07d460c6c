"""The noise distribution of negative sampling, as artifacts store it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Uints = npt.NDArray[np.uint32]

NOISE_TOTAL = 2**31 - 1
"""Last entry of gensim's cum_table: noise draws are uniform below it."""


def guide_shift(words: int) -> int:
    """The guide has an entry for every 2^shift draws; the shift is such that there are four to eight for each word."""
    return max(0, 29 - words.bit_length())


@dataclass(frozen=True)
class Noise:
    """gensim's `cum_table`, and a guide: where to begin a linear search in it."""

    cum_table: Uints
    """Cumulative frequency of each word, scaled so that the last entry is `NOISE_TOTAL`. uint32 of shape (words,)."""
    guide: Uints
    """For every 2^shift-th draw, the first word whose entry is not less."""

    @classmethod
    def of(cls, cum_table: Uints) -> "Noise":
        """Compute the guide."""
        shift = guide_shift(len(cum_table))
        marks = np.arange((int(cum_table[-1]) >> shift) + 1, dtype=np.uint64) << np.uint64(shift)
        return cls(cum_table, np.searchsorted(cum_table, marks).astype(np.uint32))

    @property
    def shift(self) -> int:
        """See `guide_shift`."""
        return guide_shift(len(self.cum_table))


NO_NOISE = Noise.of(np.ones(1, np.uint32))
"""For a model without negative sampling."""
