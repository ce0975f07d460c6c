"""The noise distribution of negative sampling, as an artifact keeps it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Uints = npt.NDArray[np.uint32]

NOISE_TOTAL = 2**31 - 1
"""Last entry of gensim's cum_table: noise draws are uniform below it."""


def guide_shift(words: int) -> int:
    """The guide has an entry for every 2^shift draws: four to eight a word."""
    return max(0, 29 - words.bit_length())


@dataclass(frozen=True)
class Noise:
    """The noise distribution, as gensim's `cum_table`, with a guide to search it from."""

    cum_table: Uints
    """Words by cumulative frequency; ends with the number of draws that there are, `NOISE_TOTAL` in a model."""
    guide: Uints
    """The first word at or after every 2^shift-th draw."""

    @classmethod
    def of(cls, cum_table: Uints) -> "Noise":
        """Make the guide."""
        shift = guide_shift(len(cum_table))
        marks = np.arange((int(cum_table[-1]) >> shift) + 1, dtype=np.uint64) << np.uint64(shift)
        return cls(cum_table, np.searchsorted(cum_table, marks).astype(np.uint32))

    @property
    def shift(self) -> int:
        """See `guide_shift`."""
        return guide_shift(len(self.cum_table))


NO_NOISE = Noise.of(np.ones(1, np.uint32))
"""For a model without negative sampling."""
