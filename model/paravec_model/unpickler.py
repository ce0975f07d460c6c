"""Reads the pickle inside a gensim file without running anything that is in it.

Unpickling calls whatever the pickle names. Here every name must be on the list below, and none of them is the real
thing: gensim's classes become inert objects that only hold attributes, arrays become `PickledArray`, which checks its
bytes before numpy sees them, and what inference does not need (random states, hash functions, raw counts) becomes an
object that forgets whatever is put in. Any other name is refused.
"""

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .errors import ConversionError, UnsafePickleError

_MODEL_CLASSES = {
    ("gensim.models.doc2vec", "Doc2Vec"),
    ("gensim.models.keyedvectors", "KeyedVectors"),
}

_FORGOTTEN = {
    ("builtins", "frozenset"),
    ("builtins", "hash"),
    ("builtins", "int"),
    ("builtins", "long"),
    ("builtins", "set"),
    ("collections", "defaultdict"),
    ("gensim.utils", "call_on_class_only"),
    ("numpy.random._mt19937", "MT19937"),
    ("numpy.random._pcg64", "PCG64"),
    ("numpy.random._pickle", "__bit_generator_ctor"),
    ("numpy.random._pickle", "__generator_ctor"),
    ("numpy.random._pickle", "__randomstate_ctor"),
}

# Names of Python 2, which pickles of protocols up to 2 use.
_RENAMED = {"__builtin__": "builtins"}

_NUMPY = re.compile(r"numpy\.(_?core)\.(multiarray|numeric)")

# Numbers and booleans, and "O" for arrays of arrays (the paths of hierarchical softmax).
_DTYPE = re.compile(r"[biuf][1248]|O8?")


class Inert:
    """Stands in for an instance of a gensim class: holds what the pickle says its attributes were."""

    gensim_class = ""

    def __init__(self, *_args: Any) -> None:
        pass


class Forgetful:
    """Takes all that a pickle may do to an object, and keeps none of it."""

    def __init__(self, *_args: Any) -> None:
        pass

    def __setstate__(self, _state: Any) -> None:
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass


class PickledDtype:
    """A numpy dtype as a pickle tells it: a short name, and a byte order that follows."""

    def __init__(self, name: str, *_args: Any) -> None:
        if not isinstance(name, str) or not _DTYPE.fullmatch(name):
            raise ConversionError(f"an array has the data type {name!r}, which no gensim model has")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray:
    """A numpy array as a pickle tells it; becomes one, without a copy, when numpy asks for it."""

    def __init__(self, *_args: Any) -> None:
        self._array: npt.NDArray[Any] = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran, data = state
        self._fill(shape, dtype.dtype, "F" if fortran else "C", data)

    def _fill(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: Any, data: Any) -> "PickledArray":
        size = math.prod(shape)
        if dtype.hasobject:
            self._array = np.empty(len(data), object)
            # One by one: numpy must not look into what the pickle put here.
            for i, item in enumerate(data):
                self._array[i] = item._array if isinstance(item, PickledArray) else item
        else:
            self._array = np.frombuffer(data, dtype)
        if self._array.size != size or min(shape, default=0) < 0:
            raise ConversionError(f"an array of shape {shape} holds {self._array.size} numbers")
        self._array = self._array.reshape(shape, order=order)
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self._array if dtype is None else self._array.astype(dtype)


class _GensimUnpickler(pickle.Unpickler):
    """Resolves names to stand-ins, made anew for each file so that no file can change another's."""

    def find_class(self, module: str, name: str) -> Any:
        module = _RENAMED.get(module, module)
        if (module, name) in _MODEL_CLASSES:
            return type(name, (Inert,), {"gensim_class": f"{module}.{name}"})
        if (module, name) in _FORGOTTEN:
            return type(name, (Forgetful,), {})
        if stand_in := self._numpy(module, name):
            return stand_in
        if (module, name) == ("_codecs", "encode"):
            return _bytes_of
        raise UnsafePickleError(f"asks for {module}.{name}, which no gensim Doc2Vec model needs; nothing of it was run")

    @staticmethod
    def _numpy(module: str, name: str) -> Callable[..., Any] | None:
        if (module, name) == ("numpy", "dtype"):
            return lambda *args: PickledDtype(*args)
        if (module, name) == ("numpy", "ndarray"):
            return type("ndarray", (Forgetful,), {})
        if _NUMPY.fullmatch(module):
            if name == "_reconstruct":
                return lambda *_args: PickledArray()
            if name == "_frombuffer":
                return lambda data, dtype, shape, order: PickledArray()._fill(shape, dtype.dtype, order, data)
            if name == "scalar":
                return lambda dtype, data: PickledArray()._fill((1,), dtype.dtype, "C", data)._array.item()
        return None


def _bytes_of(text: str, encoding: str) -> bytes:
    """How a pickle of protocol 2 writes bytes: as text of the same numbers."""
    if encoding != "latin1":
        raise ConversionError(f"bytes are encoded as {encoding!r}")
    return text.encode("latin1")


def load(path: Path) -> Inert:
    """The Doc2Vec model in the pickle at `path`, as inert objects; ConversionError if it cannot be read."""
    try:
        with path.open("rb") as file:
            model = _load(file)
    except OSError as error:
        raise ConversionError(f"{path}: {error.strerror or error}") from error
    except ConversionError as error:
        raise type(error)(f"{path}: {error}") from error
    except MemoryError:
        raise ConversionError(f"{path}: asks for more memory than there is") from None
    except Exception as error:
        # A damaged pickle fails in as many ways as there are opcodes.
        raise ConversionError(f"{path}: is not a gensim model file, or is damaged: {error}") from error
    if not isinstance(model, Inert) or model.gensim_class != "gensim.models.doc2vec.Doc2Vec":
        what = getattr(model, "gensim_class", "") or type(model).__name__
        raise ConversionError(f"{path}: holds a {what}, not a gensim Doc2Vec model")
    return model


def _load(file: BinaryIO) -> Any:
    magic = file.read(3)
    if magic[:2] == b"\x1f\x8b" or magic == b"BZh":
        raise ConversionError("is compressed; decompress it first (gunzip, bunzip2)")
    file.seek(0)
    return _GensimUnpickler(file, encoding="latin1").load()
