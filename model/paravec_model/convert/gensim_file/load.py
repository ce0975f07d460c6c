"""Opens what gensim saved: the pickle, compressed or not, and the arrays beside it."""

import bz2
import gzip
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from ...errors import ConversionError, UnsafePickleError
from .allowed_globals import NAMES, Name, foreign, forgotten, inert, unneeded
from .file_kind import HEAD, kind_of, writer_of
from .legacy import modern
from .stubs import Array, ArraySource, Foreign, Inert
from .unpickler import BoundedFile, unpickle
from .xz import XzFile

DOC2VEC = "gensim.models.doc2vec.Doc2Vec"

# Numbers hardly shrink, and words to a quarter or so; a file that grows more than this was made to fill the memory.
_GROWTH, _GROWTH_FREE = 20, 2**20

# Whose names must be on the list: those that models are made of, and those that could do harm if they were real.
_KNOWN = ("gensim.models.doc2vec.", "gensim.models.keyedvectors.", "gensim.models.word2vec.", "gensim.utils.", "numpy.")

# Of a class with its module, in letters; a longer one is damage.
_LONGEST_NAME = 200


def load(path: Path, allowed: Collection[str] = ()) -> SimpleNamespace:
    """The Doc2Vec model in the gensim file at `path`, in the form of gensim 4's (see `eras.modern`).

    `allowed`: classes of others, "module.Class", whose instances may be in the file; none of them is imported. Arrays
    beside the file are opened when they are asked for. ConversionError if it cannot be read, UnsafePickleError if it
    names what is not allowed.
    """
    with _told_of(path):
        with _opened(path) as file:
            model = unpickle(BoundedFile(file, _size(path)), lambda name: _resolve(name, allowed))
        if isinstance(model, Foreign):
            raise _refusal(model.kind)
        if not isinstance(model, Inert):
            raise ConversionError("holds no gensim model")
        if model.gensim_class not in (DOC2VEC, *allowed):
            raise ConversionError(f"holds a {model.gensim_class}, not a Doc2Vec model: nothing can be inferred from it")
        _find_side_arrays(model, str(path), "npz" if path.suffix in (".gz", ".bz2") else "npy", is_model=True)
        return modern(model)


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    try:
        yield
    except ConversionError as error:
        raise type(error)(f"{path}: {_kind_of(path) or error}") from error
    except MemoryError:
        raise ConversionError(f"{path}: asks for more memory than there is") from None
    except EOFError:
        raise ConversionError(f"{path}: {_kind_of(path) or 'is damaged: it ends early'}") from None
    except OSError as error:
        raise ConversionError(f"{path}: {error.strerror or error}") from error
    except Exception as error:
        # A damaged file fails in as many ways as there are instructions; what they say may be pages of the file.
        raise ConversionError(f"{path}: {_kind_of(path) or 'is not a gensim model file, or is damaged'}") from error


def _kind_of(path: Path) -> str | None:
    """What a file is that could not be read, if it is something else that people take for a model."""
    try:
        with _opened(path) as file:
            return kind_of(file.read(HEAD))
    except Exception:
        # What is packed may be damaged in as many ways as there are packers.
        return None


_PACKED: dict[bytes, Callable[[BufferedReader], BufferedIOBase]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lambda file: BufferedReader(XzFile(file)),
}


@contextmanager
def _opened(path: Path) -> Iterator[BufferedIOBase]:
    with path.open("rb") as file:
        yield unpack(file) if (unpack := _packing(file)) else file


def _size(path: Path) -> int:
    """Bytes that may be read of a file."""
    with path.open("rb") as file:
        size = path.stat().st_size
        return _grown(size) if _packing(file) else size


def _packing(file: BufferedReader) -> Callable[[BufferedReader], BufferedIOBase] | None:
    magic = file.read(6)
    file.seek(0)
    return next((unpack for start, unpack in _PACKED.items() if magic.startswith(start)), None)


def _grown(size: int) -> int:
    return _GROWTH * size + _GROWTH_FREE


def _resolve(name: str, allowed: Collection[str]) -> Name:
    if name in NAMES:
        return NAMES[name]
    if name in allowed:
        return inert(name)
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise UnsafePickleError("asks for what is not the name of a class; nothing of it was run")
    if writer := writer_of(name):
        raise ConversionError(f"was written by {writer}, not by gensim; load it with that, and save it with model.save")
    if name.startswith("gensim.models.callbacks."):
        return forgotten(name)
    if name.startswith(_KNOWN):
        raise _refusal(name)
    if name.partition(".")[0] in sys.stdlib_module_names:
        raise unneeded(name)
    return foreign(name)


def _refusal(name: str) -> UnsafePickleError:
    """Why a file that holds an instance of this class is no model."""
    if name.startswith("gensim.models."):
        return UnsafePickleError(f"holds a {name}, which is no Doc2Vec model: nothing can be inferred from it")
    if name.startswith(("gensim.", "numpy.")):
        return unneeded(name)
    return UnsafePickleError(
        f"holds a {name}, which is no gensim model; if it is a class of your own, derived from Doc2Vec,"
        f" add --allow-class {name}"
    )


class _SideArray(ArraySource):
    """An array that gensim saved beside the pickle."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def array(self) -> Array:
        """The array: mapped, or read if it is compressed."""
        try:
            array = _unzipped(self._path) if self._path.suffix == ".npz" else np.load(self._path, "r")
        except FileNotFoundError:
            raise ConversionError(f"{self._path}: is missing; gensim saved it beside the model") from None
        except (ValueError, OSError, EOFError, BadZipFile, LookupError, MemoryError) as error:
            # A compressed array of gensim's is a zip archive, whatever is wrong inside.
            is_zip = self._path.suffix == ".npz" and not isinstance(error, BadZipFile)
            kind = "" if is_zip else _kind_of(self._path)
            problem = kind or f"is not an array that gensim saved: {error}"
            raise ConversionError(f"{self._path}: {problem}") from error
        if not isinstance(array, np.ndarray):
            raise ConversionError(f"{self._path}: is not a .npy array")
        return array


def _unzipped(path: Path) -> Array:
    with ZipFile(path) as archive:
        packed = archive.getinfo("val.npy")
        if packed.file_size > _grown(path.stat().st_size):
            raise ValueError(f"it would grow to {packed.file_size} bytes, and no array of numbers grows so much")
        with archive.open(packed) as file:
            array: Array = np.lib.format.read_array(file, allow_pickle=False)
            return array


def _find_side_arrays(part: Inert, prefix: str, suffix: str, *, is_model: bool) -> None:
    """Put those of a model and of its parts among their attributes, as gensim does when it loads.

    What is there is right: the lists stay in a model that was saved, and is pickled whole then.
    """
    for name in _identifiers(part.get("__numpys")):
        part.attributes.setdefault(name, _SideArray(Path(f"{prefix}.{name}.{suffix}")))
    for name in _identifiers(part.get("__recursive_saveloads")) if is_model else ():
        if isinstance(inner := part.get(name), Inert):
            _find_side_arrays(inner, f"{prefix}.{name}", suffix, is_model=False)


def _identifiers(names: Any) -> list[str]:
    """The names of attributes in a list; what is none could lead to another folder."""
    return [name for name in names if isinstance(name, str) and name.isidentifier()] if type(names) is list else []
