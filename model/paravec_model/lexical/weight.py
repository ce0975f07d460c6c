"""How much the words of a query count beside its vector, if the caller does not say.

Both sides are asked how far their best document stands out from all documents: its standard score (z-score), of its
cosine among cosines and of its share among shares. The side whose best document stands out more decides. Shares are
skewed, with few documents far above the rest, and cosines are not, so the square root of the shares' score is compared
with that of the cosines. A query of few tokens has a vague vector and telling words, so its words count more.
`benchmarks.hybrid` measures what both find together.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

_SCALE, _SHORT, _STEEPNESS = 1.15, 2.0, 12


def default_weight(cosine: float, share: float, tokens: int) -> float:
    """The weight of words for a query of so many tokens, from 0 to 1: w / (w + cosine¹²) with
    w = (1.15 · √share · (1 + 2 / tokens))¹².

    `cosine`, `share`: standard scores of the largest of each, not negative.
    """
    words = (_SCALE * np.sqrt(share) * (1 + _SHORT / tokens)) ** _STEEPNESS
    vector = cosine**_STEEPNESS
    # Documents that are all alike make both 0.
    return float(words / (words + vector)) if words + vector > 0 else 0.5


def standard_score(values: npt.NDArray[Any]) -> float:
    """By how many standard deviations the largest value is above the mean; 0 if all are equal."""
    deviation = float(values.std(dtype=np.float64))
    return float((values.max() - values.mean(dtype=np.float64)) / deviation) if deviation > 0 else 0.0
