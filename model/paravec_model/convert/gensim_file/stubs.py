"""Stubs: what a gensim pickle's objects become here, so that no real class of the file is ever instantiated.

An instance of a gensim class becomes a `GensimStub`, which only holds attributes. An array becomes a `PickledArray`,
which numpy sees only once its bytes are checked. What inference does not need (random states, hash functions, raw
counts, attributes that users added) becomes an `OpaqueStub`, which discards its state.
"""

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ConversionError

Array = npt.NDArray[Any]

# Numbers, booleans, and "O" for arrays of arrays (the paths of hierarchical softmax). Scalars may also be text.
_ARRAY_DTYPE = re.compile(r"[biuf][1248]|O8?")
_TEXT_DTYPE = re.compile(r"U\d{1,9}")

_MAX_DIMENSIONS = 8


class Stub:
    """An object of a pickle that is not of a built-in type."""

    __slots__: tuple[str, ...] = ()

    def build(self, state: Any) -> None:
        """Apply the state of a BUILD instruction; this class ignores it."""


class OpaqueStub(Stub):
    """Accepts every operation of a pickle and keeps only the name of its type."""

    __slots__ = ("type_name",)

    def __init__(self, type_name: str, *_args: Any) -> None:
        self.type_name = type_name

    def __repr__(self) -> str:
        return f"<{self.type_name}>"


class ForeignStub(OpaqueStub):
    """An instance of a class that belongs to neither Python, numpy nor a gensim model."""

    __slots__ = ()


OVERSIZED_INT = OpaqueStub("int of more than 64 bits")
"""Replaces every integer of more than 64 bits."""


class GensimStub(Stub):
    """An instance of a gensim class: holds its pickled attributes."""

    def __init__(self, class_name: str, *_args: Any) -> None:
        self.class_name = class_name
        self.attributes: dict[Any, Any] = {}

    def build(self, state: Any) -> None:
        """Hold the dict of attributes itself: a pickle could repeat BUILD, and each copy would take memory."""
        if type(state) is not dict:
            raise ConversionError(f"the state of its {self.class_name} is not a dict")
        self.attributes = state

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute, or `default` if it is missing."""
        return self.attributes.get(name, default)


class ArrayStub(Stub):
    """An array that is read when it is needed."""

    def array(self) -> Array:
        """The array; ConversionError if its bytes do not fit its dtype and shape."""
        raise NotImplementedError


class PickledDtype(Stub):
    """A pickled numpy dtype: a short name, then its byte order."""

    def __init__(self, name: str, *_args: Any) -> None:
        self.name = name if isinstance(name, str) else ""
        known = _ARRAY_DTYPE.fullmatch(self.name) or _TEXT_DTYPE.fullmatch(self.name)
        self._dtype = np.dtype(self.name) if known else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype; ConversionError if no array of a gensim model has it."""
        if self._dtype is None or self._dtype.kind == "U":
            raise ConversionError("an array has a data type that no gensim model has")
        return self._dtype

    def build(self, state: Any) -> None:
        """Set the byte order, the second item of numpy's state."""
        if self._dtype is not None and state[1] in ("<", ">"):
            self._dtype = self._dtype.newbyteorder(state[1])

    def scalar(self, data: Any) -> Any:
        """A scalar as a Python number or string; an OpaqueStub for any other dtype."""
        dtype = self._dtype
        if dtype is None or dtype.hasobject:
            return OpaqueStub("numpy scalar")
        if isinstance(data, OpaqueStub) or len(data) != dtype.itemsize:
            raise ConversionError("a number is not pickled as numpy does it")
        return _numbers(data, dtype)[0].item()


class PickledArray(ArrayStub):
    """A pickled numpy array. Its data is bytes, or in protocol 2 a string of the same numbers."""

    def __init__(self, *_args: Any) -> None:
        self._parts: tuple[Any, ...] = (b"", PickledDtype("u1"), (0,), "C")

    @classmethod
    def of(cls, *parts: Any) -> "PickledArray":
        """From data, dtype, shape and order, as numpy's _frombuffer takes them."""
        array = cls()
        array._parts = parts
        return array

    def build(self, state: Any) -> None:
        """Set version, shape, dtype, whether the order is Fortran's, and data."""
        _version, shape, dtype, fortran, data = state
        self._parts = data, dtype, shape, "F" if fortran else "C"

    def array(self) -> Array:
        """The array over the pickle's own bytes; an array of objects holds the unpickled items, stubs among them."""
        data, dtype, shape, order = self._parts
        if not isinstance(dtype, PickledDtype) or type(shape) is not tuple or len(shape) > _MAX_DIMENSIONS:
            raise ConversionError("an array is not pickled as numpy does it")
        if not all(type(length) is int and length >= 0 for length in shape):
            raise ConversionError("an array's shape has lengths that are not whole numbers of 0 or more")
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
    # One by one: np.array(data) would inspect the items, which the pickle chose.
    for i, item in enumerate(data):
        array[i] = item
    return array
