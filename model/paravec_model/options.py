"""The hyper-parameters of a model and the options of inference. Names are gensim's."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from .errors import OptionError, StoppedError

Mode = Literal["dbow", "dm_mean", "dm_sum", "dm_concat"]
Method = Literal["sgd", "map"]
Stop = Callable[[], bool]
"""Long work calls it now and then, and raises StoppedError once it returns True. `bool` never stops the work."""


def raise_if_stopped(stop: Stop) -> None:
    """Raise StoppedError if `stop` returns True."""
    if stop():
        raise StoppedError("stopped: the caller no longer waits for the result")


ROW_ALIGNMENT = 16
"""Rows of matrices are padded with zeros to a multiple of 16 float32, one cache line of 64 bytes."""


def padded(size: int, multiple: int = ROW_ALIGNMENT) -> int:
    """`size` rounded up to a multiple."""
    return -(-size // multiple) * multiple


@dataclass(frozen=True)
class Algorithm:
    """Architecture and hyper-parameters that inference needs."""

    mode: Mode
    """PV-DBOW, or PV-DM with the mean, sum or concatenation of the context."""
    vector_size: int
    """Dimensions of a vector."""
    negative: int
    """Noise words drawn for each word; 0 without negative sampling."""
    hs: bool
    """Whether the model has a hierarchical softmax."""
    window: int
    """Largest distance between a word and a word of its context. Only DM uses it."""
    shrink_windows: bool
    """Draw each position's window uniformly from 1 to `window`. Only DM mean and DM sum use it."""
    sample: float
    """Sub-sampling threshold; 0 keeps every word."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise OptionError("mode", f"{self.mode!r} is not one of {', '.join(get_args(Mode))}")
        for field, least in (("vector_size", 1), ("negative", 0), ("window", 1)):
            if not least <= getattr(self, field) <= 100_000:
                raise OptionError(field, f"must be {least} to 100000, not {getattr(self, field)}")
        if not (math.isfinite(self.sample) and self.sample >= 0):
            raise OptionError("sample", f"must be 0 or more, not {self.sample:g}")
        if not self.hs and self.negative == 0:
            raise OptionError("negative", "must be 1 or more when hs is off: a model needs one of the two objectives")

    @property
    def vectors_per_row(self) -> int:
        """Vectors concatenated in the hidden layer and in a row of the output layer: the document's and, for DM concat,
        one for each of the 2 * `window` words around."""
        return 1 + 2 * self.window if self.mode == "dm_concat" else 1


@dataclass(frozen=True)
class InferenceOptions:
    """Options of inference."""

    method: Method = "sgd"
    """`sgd` is gensim's algorithm. `map` finds the optimum of the same objective and uses only `normalize` of the other
    options."""
    epochs: int = 10
    """Passes over a document."""
    alpha: float = 0.025
    """Learning rate of the first epoch, in (0, 1]."""
    min_alpha: float = 0.0001
    """Learning rate of the last epoch, in [0, alpha]."""
    seed: int = 1
    """Seed of all random draws, from 0 to 2^64 - 1."""
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
