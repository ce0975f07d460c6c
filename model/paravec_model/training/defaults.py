"""The epochs and the min_count of a training that names none: they depend on the corpus's number of words.

Few words are seen too seldom in few epochs, and rare words are most of what tells few documents apart. Of many words,
20 epochs are enough, and more take hours. `benchmarks/defaults.py` measures it, docs/explanation/quality.md shows it.
"""

from dataclasses import replace
from typing import Any

from .parameters import TrainingParameters

MIN_COUNT = 2
"""For a corpus of any size."""

EPOCHS = ((500_000, 80), (2_000_000, 40))
"""(words, epochs) of corpora of fewer than so many words, smallest first."""

EPOCHS_OF_MANY_WORDS = 20
"""Of larger corpora."""

_STEPS = ", ".join(f"{epochs} below {words:,} words" for words, epochs in EPOCHS)

RULE = {"epochs": f"{_STEPS}, else {EPOCHS_OF_MANY_WORDS}", "min_count": str(MIN_COUNT)}
"""The rule in words, by parameter."""


def for_corpus(parameters: TrainingParameters, documents: int, words: int) -> tuple[TrainingParameters, str]:
    """The parameters with those that are None chosen for a corpus, and what was chosen and why: empty if nothing was.

    `words`: tokens of the corpus, every occurrence counted.
    """
    epochs = next((epochs for below, epochs in EPOCHS if words < below), EPOCHS_OF_MANY_WORDS)
    rule = {"epochs": epochs, "min_count": MIN_COUNT}
    chosen: dict[str, Any] = {name: value for name, value in rule.items() if getattr(parameters, name) is None}
    if not chosen:
        return parameters, ""
    values = ", ".join(f"{name} {value}" for name, value in chosen.items())
    flags = " or ".join(f"--{name.replace('_', '-')}" for name in chosen)
    size = f"corpus of {documents:,} documents with {words:,} words"
    return replace(parameters, **chosen), f"{values}: {size}; set {flags} to override"
