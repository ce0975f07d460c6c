"""The epochs and the min_count of a training that names none: they depend on the corpus's number of words.

Few words are seen too seldom in few epochs, and rare words are most of what tells few documents apart. Many words need
neither, and every epoch of them takes long. `benchmarks/defaults.py` measures both; docs/explanation/quality.md shows
the figures.
"""

from dataclasses import replace
from typing import Any

from .parameters import TrainingParameters

FEW_WORDS = 2_000_000
"""Corpora of fewer words are few words: at most 80 million are learned, which takes minutes."""

# For few words, and for others: Lau and Baldwin's epochs (2016), and gensim's min_count.
_VALUES = {"epochs": (40, 20), "min_count": (2, 5)}

RULE = {name: f"{few} below {FEW_WORDS:,} words, else {many}" for name, (few, many) in _VALUES.items()}
"""The rule in words, by parameter."""


def for_corpus(parameters: TrainingParameters, documents: int, words: int) -> tuple[TrainingParameters, str]:
    """The parameters with those that are None chosen for a corpus, and what was chosen and why: empty if nothing was.

    `words`: tokens of the corpus, every occurrence counted.
    """
    chosen: dict[str, Any] = {
        name: few if words < FEW_WORDS else many
        for name, (few, many) in _VALUES.items()
        if getattr(parameters, name) is None
    }
    if not chosen:
        return parameters, ""
    values = ", ".join(f"{name} {value}" for name, value in chosen.items())
    flags = " or ".join(f"--{name.replace('_', '-')}" for name in chosen)
    size = f"corpus of {documents:,} documents with {words:,} words"
    return replace(parameters, **chosen), f"{values}: {size}; set {flags} to override"
