"""How a model was made and how a vector is inferred, in gensim's terms."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from .errors import OptionError, StoppedError

Mode = Literal["dbow", "dm_mean", "dm_sum", "dm_concat"]
Method = Literal["sgd", "map"]
Stop = Callable[[], bool]
"""Returns True once the caller no longer waits for the result."""


def raise_if_stopped(stop: Stop) -> None:
    """StoppedError if the caller no longer waits for the result."""
    if stop():
        raise StoppedError("stopped: the caller no longer waits for the result")


ROW_ALIGNMENT = 16
"""Rows are padded with zeros to a multiple of this many float32, one 64-byte cache line."""


def padded(size: int, multiple: int = ROW_ALIGNMENT) -> int:
    """Length of a padded row that holds `size` numbers; or the next multiple of another number."""
    return -(-size // multiple) * multiple


@dataclass(frozen=True)
class Algorithm:
    """Architecture and hyper-parameters that inference needs to know."""

    mode: Mode
    """PV-DBOW, or PV-DM with the mean, the sum or the concatenation of the context."""
    vector_size: int
    """Numbers in a vector."""
    negative: int
    """Noise words for each word; 0 if there is no negative sampling."""
    hs: bool
    """Hierarchical softmax."""
    window: int
    """Greatest distance between a word and its context, in words. For DM."""
    shrink_windows: bool
    """Draw each position's window from 1 to `window`. For DM mean and sum."""
    sample: float
    """Threshold of sub-sampling; 0 if every word is kept."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise OptionError("mode", f"{self.mode!r} is not one of {', '.join(get_args(Mode))}")
        for field, least in (("vector_size", 1), ("negative", 0), ("window", 1)):
            if not least <= getattr(self, field) <= 100_000:
                raise OptionError(field, f"must be {least} to 100000, not {getattr(self, field)}")
        if not (math.isfinite(self.sample) and self.sample >= 0):
            raise OptionError("sample", f"must be 0 or more, not {self.sample:g}")
        if not self.hs and self.negative == 0:
            raise OptionError("negative", "must be 1 or more when hs is off: nothing else says what to learn")

    @property
    def vectors_per_row(self) -> int:
        """Vectors side by side in the hidden layer: 1, or document and context words for DM concat."""
        return 1 + 2 * self.window if self.mode == "dm_concat" else 1


@dataclass(frozen=True)
class InferenceOptions:
    """How to infer one vector."""

    method: Method = "sgd"
    """sgd: gensim's algorithm. map: the optimum of the same objective, which of what follows takes `normalize` only."""
    epochs: int = 10
    """Passes over the document."""
    alpha: float = 0.025
    """Learning rate of the first pass, in (0, 1]."""
    min_alpha: float = 0.0001
    """Learning rate of the last pass, in [0, alpha]."""
    seed: int = 1
    """Seed of all random draws, an unsigned 64-bit number."""
    normalize: bool = False
    """Scale the vector to unit L2 length (a zero vector stays zero)."""

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise OptionError("method", f"{self.method!r} is not one of {', '.join(get_args(Method))}")
        if not 1 <= self.epochs <= 100_000:
            raise OptionError("epochs", f"must be 1 to 100000, not {self.epochs}")
        if not (math.isfinite(self.alpha) and 0 < self.alpha <= 1):
            raise OptionError("alpha", f"must be above 0 and at most 1, not {self.alpha:g}")
        if not (math.isfinite(self.min_alpha) and 0 <= self.min_alpha <= self.alpha):
            raise OptionError("min_alpha", f"must be 0 to alpha ({self.alpha:g}), not {self.min_alpha:g}")
        if not 0 <= self.seed < 2**64:
            raise OptionError("seed", f"must be 0 to 2^64 - 1, not {self.seed}")
