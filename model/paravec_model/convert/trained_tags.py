"""The training documents of a gensim model: their tags, and which of their vectors a document has trained."""

from collections.abc import Sequence
from reprlib import Repr
from typing import Any

import numpy as np
import numpy.typing as npt

from ..artifact.doctags import Tag
from ..artifact.finite import row_blocks
from ..errors import ConversionError
from .gensim_file.stubs import Forgetful

Array = npt.NDArray[Any]

# What gensim 4 adds to a model's seed for the vectors of its tags.
_SEED_OF_TAGS = 7919

_short = Repr()
_short.maxstring = _short.maxother = 60


def moved(vectors: Array, seed: Any) -> npt.NDArray[np.intp]:
    """The rows that are not as gensim 4 made them at the start: those that some document has trained.

    gensim has a vector for each integer up to the largest tag, whether it is a tag or not. Its start vectors are drawn
    from the model's seed alone; in a model of another gensim, no row is like them.
    """
    if not isinstance(seed, int | np.integer) or seed + _SEED_OF_TAGS < 0:
        return np.arange(len(vectors))
    random, moves = np.random.default_rng(int(seed) + _SEED_OF_TAGS), [np.empty(0, bool)]
    for block in row_blocks(vectors):
        start = random.random(block.shape, np.float32)
        start *= 2.0
        start -= 1.0
        start /= block.shape[1]
        moves.append((block != start).any(axis=1))
    return np.flatnonzero(np.concatenate(moves))


def checked_tags(tags: Sequence[Any]) -> list[Tag]:
    """Tags as text and integers; ConversionError names the first that is neither, or is there twice."""
    found: dict[Tag, int] = {}
    for place, tag in enumerate(tags):
        if isinstance(tag, str):
            known: Tag = str(tag)
        elif isinstance(tag, int | np.integer):
            known = int(tag)
        else:
            raise ConversionError(
                f"tag {place} of {len(tags)} is {described(tag)}, and only text and integers can be kept; leave out"
                " --doctags, or train with other tags"
            )
        if found.setdefault(known, place) != place:
            raise ConversionError(f"the model has the tag {_short.repr(known)} twice")
    return list(found)


def described(value: Any) -> str:
    """The type of what should be text, and the value itself if it is of Python's own."""
    if isinstance(value, Forgetful):
        return f"a {value.kind}"
    kind = type(value)
    if value is None:
        return "None"
    return f"{_short.repr(value)}, a {kind.__name__}" if kind.__module__ == "builtins" else f"a {kind.__qualname__}"
