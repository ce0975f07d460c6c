"""The document tags of a gensim model, and which of their vectors were trained."""

from collections.abc import Sequence
from reprlib import Repr
from typing import Any

import numpy as np
import numpy.typing as npt

from ..artifact.doctags import Tag
from ..artifact.finite import row_blocks
from ..errors import ConversionError
from .gensim_file.stubs import OpaqueStub

Array = npt.NDArray[Any]

# gensim 4 adds this to the model's seed to draw the initial document vectors.
_TAG_SEED_OFFSET = 7919

_short = Repr()
_short.maxstring = _short.maxother = 60


def trained_rows(vectors: Array, seed: Any) -> npt.NDArray[np.intp]:
    """The rows of `vectors`, shape (tags, vector_size), that differ from gensim 4's initial values.

    gensim allocates a row for every integer up to the largest tag, whether it is a tag or not. gensim 4 draws initial
    values from the model's `seed` alone; in a model of an earlier version no row matches them, so all are returned.
    """
    if not isinstance(seed, int | np.integer) or seed + _TAG_SEED_OFFSET < 0:
        return np.arange(len(vectors))
    random, differs = np.random.default_rng(int(seed) + _TAG_SEED_OFFSET), [np.empty(0, bool)]
    for block in row_blocks(vectors):
        initial = random.random(block.shape, np.float32)
        initial *= 2.0
        initial -= 1.0
        initial /= block.shape[1]
        differs.append((block != initial).any(axis=1))
    return np.flatnonzero(np.concatenate(differs))


def checked_tags(tags: Sequence[Any]) -> list[Tag]:
    """Tags as strings and integers; ConversionError names the first that is neither, no Unicode, or there twice."""
    found: dict[Tag, int] = {}
    for row, tag in enumerate(tags):
        if isinstance(tag, str):
            known: Tag = str(tag)
        elif isinstance(tag, int | np.integer):
            known = int(tag)
        else:
            raise ConversionError(
                f"tag {row} of {len(tags)} is {describe(tag)}, and only text and integers can be kept; leave out"
                " --doctags, or train with other tags"
            )
        if found.setdefault(known, row) != row:
            raise ConversionError(f"the model has the tag {_short.repr(known)} twice")
        try:
            str(known).encode()
        except UnicodeEncodeError:
            raise ConversionError(
                f"tag {row} of {len(tags)} has a lone surrogate, which UTF-8 cannot carry; leave out --doctags"
            ) from None
    return list(found)


def describe(value: Any) -> str:
    """A value and its type for an error message; the type alone if it is not a built-in one."""
    if isinstance(value, OpaqueStub):
        return f"a {value.type_name}"
    kind = type(value)
    if value is None:
        return "None"
    return f"{_short.repr(value)}, a {kind.__name__}" if kind.__module__ == "builtins" else f"a {kind.__qualname__}"
