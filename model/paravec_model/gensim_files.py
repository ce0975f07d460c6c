"""Opens what gensim saved: the pickle, compressed or not, and the arrays beside it."""

import bz2
import gzip
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from .eras import modern
from .errors import ConversionError, UnsafePickleError
from .stand_ins import NAMES, Array, ArraySource, Inert, Name, inert
from .unpickler import BoundedFile, unpickle

DOC2VEC = "gensim.models.doc2vec.Doc2Vec"

# Numbers hardly shrink, and words to a quarter or so; a file that grows more than this was made to fill the memory.
_GROWTH, _GROWTH_FREE = 20, 2**20


def load(path: Path, allowed: Collection[str] = ()) -> SimpleNamespace:
    """The Doc2Vec model in the gensim file at `path`, in the form of gensim 4's (see `eras.modern`).

    `allowed`: classes of others, "module.Class", whose instances may be in the file; none of them is imported. Arrays
    beside the file are opened when they are asked for. ConversionError if it cannot be read, UnsafePickleError if it
    names what is not allowed.
    """
    with _told_of(path):
        with _opened(path) as file:
            model = unpickle(file, lambda name: _resolve(name, allowed))
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
        raise type(error)(f"{path}: {error}") from error
    except MemoryError:
        raise ConversionError(f"{path}: asks for more memory than there is") from None
    except EOFError:
        raise ConversionError(f"{path}: is damaged: it ends early") from None
    except OSError as error:
        raise ConversionError(f"{path}: {error.strerror or error}") from error
    except Exception as error:
        # A damaged file fails in as many ways as there are instructions.
        raise ConversionError(f"{path}: is not a gensim model file, or is damaged: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[BoundedFile]:
    with path.open("rb") as file:
        size, magic = path.stat().st_size, file.read(3)
        file.seek(0)
        if magic[:2] == b"\x1f\x8b":
            yield BoundedFile(gzip.GzipFile(fileobj=file), _grown(size))
        elif magic == b"BZh":
            yield BoundedFile(bz2.BZ2File(file), _grown(size))
        else:
            yield BoundedFile(file, size)


def _grown(size: int) -> int:
    return _GROWTH * size + _GROWTH_FREE


def _resolve(name: str, allowed: Collection[str]) -> Name:
    if name in NAMES:
        return NAMES[name]
    if name in allowed:
        return inert(name)
    if name.startswith("gensim.models."):
        raise UnsafePickleError(f"holds a {name}, which is no Doc2Vec model: nothing can be inferred from it")
    raise UnsafePickleError(
        f"asks for {name}, which no gensim Doc2Vec model needs; nothing of it was run"
        f" (if it is a class of your own, derived from Doc2Vec, add --allow-class {name})"
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
            raise ConversionError(f"{self._path}: is not an array that gensim saved: {error}") from error
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
    """Put those of a model and of its parts among their attributes, as gensim does when it loads."""
    for name in _identifiers(part.get("__numpys")):
        part.attributes[name] = _SideArray(Path(f"{prefix}.{name}.{suffix}"))
    for name in _identifiers(part.get("__recursive_saveloads")) if is_model else ():
        if isinstance(inner := part.get(name), Inert):
            _find_side_arrays(inner, f"{prefix}.{name}", suffix, is_model=False)


def _identifiers(names: Any) -> list[str]:
    """The names of attributes in a list; what is none could lead to another folder."""
    return [name for name in names if isinstance(name, str) and name.isidentifier()] if type(names) is list else []
