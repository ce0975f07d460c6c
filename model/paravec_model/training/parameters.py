"""The parameters of training."""

from dataclasses import dataclass

from ..errors import OptionError
from ..options import Algorithm, InferenceOptions, Mode


@dataclass(frozen=True)
class TrainingParameters:
    """Parameters of gensim's Doc2Vec, with its names and, except for four, its defaults.

    The exceptions: `dm` is 0, as Lau and Baldwin (2016) recommend; `workers` is 1, for reproducible models; `epochs`
    and `min_count` depend on the corpus (`defaults`). docs/how-to/train-a-model.md says more.

    OptionError if a value is out of range, or if gensim would ignore it beside the others: found before hours of
    training, not after.
    """

    vector_size: int = 100
    """Numbers in a vector."""
    dm: int = 0
    """1: PV-DM; 0: PV-DBOW."""
    dm_mean: int | None = None
    """For PV-DM. 1 or None: the mean of the context's vectors; 0: their sum."""
    dm_concat: int = 0
    """For PV-DM. 1: concatenate the context's vectors; the model is much larger."""
    dm_tag_count: int = 1
    """For PV-DM with dm_concat, the tags of each document. Must be 1: gensim cannot infer vectors with more."""
    dbow_words: int = 0
    """For PV-DBOW. 1: learn word vectors as well (skip-gram)."""
    window: int = 5
    """Greatest distance between a word and its context, in words."""
    min_count: int | None = None
    """Drop words that occur less often. None: chosen for the corpus."""
    sample: float = 1e-3
    """Threshold of sub-sampling frequent words; 0: keep all."""
    negative: int = 5
    """Noise words for each word; 0: no negative sampling."""
    hs: int = 0
    """1: hierarchical softmax."""
    ns_exponent: float = 0.75
    """Exponent of the noise distribution. 1: by frequency; 0: uniform."""
    epochs: int | None = None
    """Passes over the corpus. None: chosen for the corpus."""
    alpha: float = 0.025
    """Learning rate at the start."""
    min_alpha: float = 0.0001
    """Learning rate at the end."""
    shrink_windows: bool = True
    """Draw each position's window from 1 to `window`."""
    seed: int = 1
    """Seed of all random draws, an unsigned 32-bit number."""
    workers: int = 1
    """Threads. With more than one, every training gives another model."""

    def __post_init__(self) -> None:
        for field in ("dm", "dm_concat", "dbow_words", "hs"):
            if getattr(self, field) not in (0, 1):
                raise OptionError(field, f"must be 0 or 1, not {getattr(self, field)}")
        if self.dm_mean not in (None, 0, 1):
            raise OptionError("dm_mean", f"must be 0 or 1, not {self.dm_mean}")
        for field, most in (("min_count", 2**31 - 1), ("workers", 1024), ("seed", 2**32 - 1)):
            least = 1 if field == "workers" else 0
            value = getattr(self, field)
            if value is not None and not least <= value <= most:
                raise OptionError(field, f"must be {least} to {most}, not {value}")
        if not -10 <= self.ns_exponent <= 10:
            raise OptionError("ns_exponent", f"must be -10 to 10, not {self.ns_exponent:g}")
        if self.dm_concat and not self.dm:
            raise OptionError("dm_concat", "is for PV-DM only, set dm to 1")
        if self.dm_mean is not None and (self.dm_concat or not self.dm):
            raise OptionError("dm_mean", "is for PV-DM without dm_concat only, leave it unset")
        if self.dbow_words and self.dm:
            raise OptionError("dbow_words", "is for PV-DBOW only, set dm to 0")
        if self.dm_tag_count != 1:
            raise OptionError(
                "dm_tag_count", "must be 1: gensim cannot infer vectors from a model that concatenates more tags"
            )
        self.algorithm()
        self.defaults()

    def algorithm(self) -> Algorithm:
        """The parameters that inference needs; OptionError if one is out of range."""
        mode: Mode = "dbow"
        if self.dm:
            mode = "dm_concat" if self.dm_concat else "dm_sum" if self.dm_mean == 0 else "dm_mean"
        return Algorithm(
            mode=mode,
            vector_size=self.vector_size,
            negative=self.negative,
            hs=bool(self.hs),
            window=self.window,
            shrink_windows=self.shrink_windows,
            sample=self.sample,
        )

    def defaults(self) -> InferenceOptions:
        """gensim's defaults of inference: training's epochs, if they are chosen, and learning rates."""
        epochs = InferenceOptions.epochs if self.epochs is None else self.epochs
        return InferenceOptions(epochs=epochs, alpha=self.alpha, min_alpha=self.min_alpha)
