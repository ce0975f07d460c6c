"""Loads a model that gensim saved: the pickle, and the arrays beside it."""

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from ...errors import ConversionError, UnsafePickleError
from .allowed_globals import ALLOWED_GLOBALS, AllowedGlobal, foreign_global, gensim_stub, ignored_global, not_needed
from .legacy import modern
from .open_file import open_file, recognize, size_limit
from .stubs import Array, ArrayStub, ForeignStub, GensimStub
from .unpickler import BoundedFile, unpickle

_DOC2VEC = "gensim.models.doc2vec.Doc2Vec"

# Globals of these modules must be in ALLOWED_GLOBALS: the file is of another model, or the real function could do harm.
_CHECKED_PREFIXES = (
    "gensim.models.doc2vec.",
    "gensim.models.keyedvectors.",
    "gensim.models.word2vec.",
    "gensim.utils.",
    "numpy.",
)

# Libraries that write pickles with helpers of their own.
_PICKLE_LIBRARIES = ("cloudpickle", "dill", "joblib")

# Module and class together; a longer name means damage.
_MAX_NAME_CHARACTERS = 200


def load(path: Path, allowed: Collection[str] = ()) -> SimpleNamespace:
    """Load the Doc2Vec model in the gensim file at `path`, with the attributes of gensim 4 (see `legacy.modern`).

    `allowed`: subclasses of Doc2Vec, as "module.Class", that the file may hold; they are not imported. Arrays beside
    the file are opened when they are needed. ConversionError if the file cannot be read, UnsafePickleError if it names
    a global that is not allowed.
    """
    with _naming_file(path):
        with open_file(path) as (file, size):
            model = unpickle(BoundedFile(file, size), lambda name: _resolve(name, allowed))
        if isinstance(model, ForeignStub):
            raise _refusal(model.type_name)
        if not isinstance(model, GensimStub):
            raise ConversionError("holds no gensim model")
        if model.class_name not in (_DOC2VEC, *allowed):
            raise ConversionError(f"holds a {model.class_name}, not a Doc2Vec model: nothing can be inferred from it")
        _add_side_arrays(model, str(path), "npz" if path.suffix in (".gz", ".bz2") else "npy", is_model=True)
        return modern(model)


@contextmanager
def _naming_file(path: Path) -> Iterator[None]:
    """Turn every error into a ConversionError that begins with the path."""
    try:
        yield
    except ConversionError as error:
        raise type(error)(f"{path}: {recognize(path) or error}") from error
    except MemoryError:
        raise ConversionError(f"{path}: asks for more memory than there is") from None
    except EOFError:
        raise ConversionError(f"{path}: {recognize(path) or 'is damaged: it ends early'}") from None
    except OSError as error:
        raise ConversionError(f"{path}: {error.strerror or error}") from error
    except Exception as error:
        # Opcodes fail in many ways on damaged operands, and the message may quote pages of the file.
        raise ConversionError(f"{path}: {recognize(path) or 'is not a gensim model file, or is damaged'}") from error


def _resolve(name: str, allowed: Collection[str]) -> AllowedGlobal:
    if name in ALLOWED_GLOBALS:
        return ALLOWED_GLOBALS[name]
    if name in allowed:
        return gensim_stub(name)
    if len(name) > _MAX_NAME_CHARACTERS or not name.isprintable():
        raise UnsafePickleError("asks for a name that no class has; nothing of it was run")
    for library in _PICKLE_LIBRARIES:
        if name.startswith((f"{library}.", f"_{library}.")):
            raise ConversionError(
                f"was written by {library}, not by gensim; load it with that, and save it with model.save"
            )
    if name.startswith("gensim.models.callbacks."):
        return ignored_global(name)
    if name.startswith(_CHECKED_PREFIXES):
        raise _refusal(name)
    if name.partition(".")[0] in sys.stdlib_module_names:
        raise not_needed(name)
    return foreign_global(name)


def _refusal(name: str) -> UnsafePickleError:
    """The error for a file that holds an instance of this class instead of a model."""
    if name.startswith("gensim.models."):
        return UnsafePickleError(f"holds a {name}, which is no Doc2Vec model: nothing can be inferred from it")
    if name.startswith(("gensim.", "numpy.")):
        return not_needed(name)
    return UnsafePickleError(
        f"holds a {name}, which is no gensim model; if it is a class of your own, derived from Doc2Vec,"
        f" add --allow-class {name}"
    )


class _SideArray(ArrayStub):
    """An array that gensim saved in a file beside the pickle."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def array(self) -> Array:
        """The array: memory-mapped, or read if it is compressed."""
        try:
            array = _unzipped(self._path) if self._path.suffix == ".npz" else np.load(self._path, "r")
        except FileNotFoundError:
            raise ConversionError(f"{self._path}: is missing; gensim saved it beside the model") from None
        except (ValueError, OSError, EOFError, BadZipFile, LookupError, MemoryError) as error:
            # A compressed array is a zip archive by design, so that signature explains nothing.
            is_zip = self._path.suffix == ".npz" and not isinstance(error, BadZipFile)
            kind = None if is_zip else recognize(self._path)
            problem = kind or f"is not an array that gensim saved: {error}"
            raise ConversionError(f"{self._path}: {problem}") from error
        if not isinstance(array, np.ndarray):
            raise ConversionError(f"{self._path}: is not a .npy array")
        return array


def _unzipped(path: Path) -> Array:
    with ZipFile(path) as archive:
        member = archive.getinfo("val.npy")
        if member.file_size > size_limit(path.stat().st_size):
            raise ValueError(f"it would grow to {member.file_size} bytes, and no array of numbers grows so much")
        with archive.open(member) as file:
            array: Array = np.lib.format.read_array(file, allow_pickle=False)
            return array


def _add_side_arrays(part: GensimStub, prefix: str, suffix: str, *, is_model: bool) -> None:
    """Add the arrays beside the file to the attributes of the model and of its parts, as gensim does on loading.

    Attributes that the pickle holds win: the lists of side arrays stay in a model that is later pickled as a whole.
    """
    for name in _identifiers(part.get("__numpys")):
        part.attributes.setdefault(name, _SideArray(Path(f"{prefix}.{name}.{suffix}")))
    for name in _identifiers(part.get("__recursive_saveloads")) if is_model else ():
        if isinstance(inner := part.get(name), GensimStub):
            _add_side_arrays(inner, f"{prefix}.{name}", suffix, is_model=False)


def _identifiers(names: Any) -> list[str]:
    """The attribute names in a list. Anything else, as "../x", could lead to a file in another folder."""
    return [name for name in names if isinstance(name, str) and name.isidentifier()] if type(names) is list else []
