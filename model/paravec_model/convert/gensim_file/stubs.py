"""What the names in a gensim file stand for: never the real thing.

gensim's classes become inert objects that only hold attributes, arrays become `PickledArray`, which numpy sees only
once its bytes are checked, and what inference does not need (random states, hash functions, raw counts, whatever people
hang on a model) becomes an object that forgets whatever is put in.
"""

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ConversionError

Array = npt.NDArray[Any]

# Numbers and booleans, and "O" for arrays of arrays (the paths of hierarchical softmax); of single values, text too.
_DTYPE = re.compile(r"[biuf][1248]|O8?")
_TEXT = re.compile(r"U\d{1,9}")

_MOST_DIMENSIONS = 8


class StandIn:
    """An object of a pickle that is not of Python's own types."""

    __slots__: tuple[str, ...] = ()

    def build(self, state: Any) -> None:
        """Take the state that the pickle has for it."""


class Forgetful(StandIn):
    """Takes all that a pickle may do to an object, and keeps none of it but the name of its type."""

    __slots__ = ("kind",)

    def __init__(self, kind: str, *_args: Any) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind}>"


class Foreign(Forgetful):
    """An instance of a class that is neither Python's nor numpy's, nor of a gensim model; its name is its kind."""

    __slots__ = ()


BIG_NUMBER = Forgetful("int of more than 64 bits")
"""For any such."""


class Inert(StandIn):
    """An instance of a gensim class: holds what the pickle says its attributes were."""

    def __init__(self, gensim_class: str, *_args: Any) -> None:
        self.gensim_class = gensim_class
        self.attributes: dict[Any, Any] = {}

    def build(self, state: Any) -> None:
        """Hold the attributes, a dict; not a copy, which a pickle could ask for without end."""
        if type(state) is not dict:
            raise ConversionError(f"the state of its {self.gensim_class} is not a dict")
        self.attributes = state

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute, or `default` if it has none."""
        return self.attributes.get(name, default)


class ArraySource(StandIn):
    """Stands for an array until it is needed."""

    def array(self) -> Array:
        """The array; ConversionError if there is none that fits what was said about it."""
        raise NotImplementedError


class PickledDtype(StandIn):
    """A numpy dtype as a pickle tells it: a short name, and a byte order that follows."""

    def __init__(self, name: str, *_args: Any) -> None:
        self.name = name if isinstance(name, str) else ""
        known = _DTYPE.fullmatch(self.name) or _TEXT.fullmatch(self.name)
        self._dtype = np.dtype(self.name) if known else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """It; ConversionError if no array of a model has it."""
        if self._dtype is None or self._dtype.kind == "U":
            raise ConversionError("an array has a data type that no gensim model has")
        return self._dtype

    def build(self, state: Any) -> None:
        """Take the byte order."""
        if self._dtype is not None and state[1] in ("<", ">"):
            self._dtype = self._dtype.newbyteorder(state[1])

    def scalar(self, data: Any) -> Any:
        """A single value as Python has it; something that is of no use, if it is neither a number nor text."""
        dtype = self._dtype
        if dtype is None or dtype.hasobject:
            return Forgetful("numpy scalar")
        if isinstance(data, Forgetful) or len(data) != dtype.itemsize:
            raise ConversionError("a number is told in a way that is not numpy's")
        return _numbers(data, dtype)[0].item()


class PickledArray(ArraySource):
    """A numpy array as a pickle tells it. Its bytes may be text of the same numbers, as in pickles of protocol 2."""

    def __init__(self, *_args: Any) -> None:
        self._parts: tuple[Any, ...] = (b"", PickledDtype("u1"), (0,), "C")

    @classmethod
    def of(cls, *parts: Any) -> "PickledArray":
        """From data, dtype, shape, order."""
        made = cls()
        made._parts = parts
        return made

    def build(self, state: Any) -> None:
        """Take version, shape, dtype, whether it is in Fortran's order, data."""
        _version, shape, dtype, fortran, data = state
        self._parts = data, dtype, shape, "F" if fortran else "C"

    def array(self) -> Array:
        """The array, over the pickle's own bytes; one of objects holds what the pickle says, stand-ins too."""
        data, dtype, shape, order = self._parts
        if not isinstance(dtype, PickledDtype) or type(shape) is not tuple or len(shape) > _MOST_DIMENSIONS:
            raise ConversionError("an array is told in a way that is not numpy's")
        if not all(type(length) is int and length >= 0 for length in shape):
            raise ConversionError("an array has lengths that are no numbers")
        flat = _objects(data) if dtype.dtype.hasobject else _numbers(data, dtype.dtype)
        if flat.size != math.prod(shape):
            raise ConversionError(f"an array of shape {shape} holds {flat.size} numbers")
        return flat.reshape(shape, order="F" if order == "F" else "C")


def _numbers(data: Any, dtype: np.dtype[Any]) -> Array:
    if isinstance(data, str):
        data = data.encode("latin1")
    if not isinstance(data, bytes | bytearray):
        raise ConversionError("an array's data is not bytes")
    return np.frombuffer(data, dtype)


def _objects(data: Any) -> Array:
    if type(data) is not list:
        raise ConversionError("an array's data is not a list")
    array = np.empty(len(data), object)
    # One by one: numpy must not look into what the pickle put here.
    for i, item in enumerate(data):
        array[i] = item
    return array
