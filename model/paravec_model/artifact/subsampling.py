"""The probability that sub-sampling keeps a word, as gensim computes and stores it."""

from typing import Any

import numpy as np
import numpy.typing as npt


def sample_int(counts: npt.NDArray[Any], sample: float) -> npt.NDArray[np.uint32]:
    """The probability of each word, times 2^32 - 1.

    `counts`: how often training saw each word, shape (words,). `sample`: the threshold, a share of all words.
    """
    threshold = sample * counts.sum(dtype=np.float64)
    ratio = threshold / np.maximum(counts, 1)
    kept: npt.NDArray[np.uint32] = (np.minimum(np.sqrt(ratio) + ratio, 1) * (2**32 - 1)).astype(np.uint32)
    return kept
