"""The globals (modules and classes) that a gensim pickle may name, and the stub for each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...errors import ConversionError, UnsafePickleError
from .stubs import ForeignStub, GensimStub, OpaqueStub, PickledArray, PickledDtype


@dataclass(frozen=True)
class AllowedGlobal:
    """How a global of a pickle is replaced."""

    call: Callable[..., Any]
    """Returns the stub of what a call of the global would return (REDUCE)."""
    new: Callable[..., Any] | None = None
    """Returns the stub of an instance made without a call (NEWOBJ); `call` if None."""

    def instance(self, *args: Any) -> Any:
        """The stub of an instance made without a call."""
        return (self.new or self.call)(*args)


def gensim_stub(class_name: str) -> AllowedGlobal:
    """A class whose instances matter by their attributes only."""
    return AllowedGlobal(partial(GensimStub, class_name))


def foreign_global(name: str) -> AllowedGlobal:
    """A class of another library: instances become stubs, calls are refused."""

    def refuse(*_args: Any) -> Any:
        raise not_needed(name)

    return AllowedGlobal(refuse, partial(ForeignStub, name))


def ignored_global(name: str) -> AllowedGlobal:
    """A global that inference does not need."""
    return AllowedGlobal(partial(OpaqueStub, name))


def not_needed(name: str) -> UnsafePickleError:
    """The error for a global that is not allowed."""
    return UnsafePickleError(f"asks for {name}, which no gensim Doc2Vec model needs; nothing of it was run")


def _copyreg_reconstructor(name: Any, *_args: Any) -> Any:
    """Protocols 0 and 1 make instances by this function."""
    if not isinstance(name, AllowedGlobal):
        raise ConversionError("an object is not pickled as Python does it")
    return name.instance()


def _multiarray_scalar(dtype: Any, data: Any) -> Any:
    if not isinstance(dtype, PickledDtype):
        raise ConversionError("a number is not pickled as numpy does it")
    return dtype.scalar(data)


def _codecs_encode(text: Any, encoding: Any) -> str:
    """Protocol 2 writes bytes as latin1 text. The text is kept: arrays encode it when they are read."""
    if encoding != "latin1" or not isinstance(text, str):
        raise ConversionError("bytes are not pickled as Python does it")
    return text


_GENSIM_CLASSES = (
    "gensim.models.doc2vec.Doc2Vec",
    "gensim.models.doc2vec.Doc2VecTrainables",
    "gensim.models.doc2vec.Doc2VecVocab",
    "gensim.models.doc2vec.DocvecsArray",
    "gensim.models.keyedvectors.Doc2VecKeyedVectors",
    "gensim.models.keyedvectors.EuclideanKeyedVectors",
    "gensim.models.keyedvectors.KeyedVectors",
    "gensim.models.keyedvectors.Vocab",
    "gensim.models.keyedvectors.Word2VecKeyedVectors",
    "gensim.models.word2vec.Vocab",
)

_IGNORED = (
    "builtins.frozenset",
    "builtins.hash",
    "builtins.int",
    "builtins.long",
    "builtins.object",
    "collections.defaultdict",
    "gensim.models.doc2vec.Doctag",
    "gensim.utils.call_on_class_only",
    "numpy.memmap",
    "numpy.ndarray",
    "numpy.random.__RandomState_ctor",
    "numpy.random._mt19937.MT19937",
    "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random._pickle.__randomstate_ctor",
)

# Types of attributes that users add to a model, and of tags.
_USER_TYPES = (
    "argparse.Namespace",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.dict",
    "builtins.float",
    "builtins.list",
    "builtins.range",
    "builtins.set",
    "builtins.str",
    "builtins.tuple",
    "collections.Counter",
    "collections.OrderedDict",
    "collections.deque",
    "datetime.date",
    "datetime.datetime",
    "datetime.time",
    "datetime.timedelta",
    "datetime.timezone",
    "decimal.Decimal",
    "fractions.Fraction",
    "gensim.models.doc2vec.TaggedDocument",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib.WindowsPath",
    "types.SimpleNamespace",
    "uuid.UUID",
    "zlib.adler32",
    "zlib.crc32",
)

ALLOWED_GLOBALS = {
    **{name: gensim_stub(name) for name in _GENSIM_CLASSES},
    **{name: ignored_global(name) for name in (*_IGNORED, *_USER_TYPES)},
    "_codecs.encode": AllowedGlobal(_codecs_encode),
    "builtins.bytes": AllowedGlobal(lambda: b""),
    "copyreg._reconstructor": AllowedGlobal(_copyreg_reconstructor),
    "numpy.dtype": AllowedGlobal(PickledDtype),
    "numpy.core.multiarray._reconstruct": AllowedGlobal(PickledArray),
    "numpy.core.multiarray.scalar": AllowedGlobal(_multiarray_scalar),
    "numpy.core.numeric._frombuffer": AllowedGlobal(PickledArray.of),
}
"""By full name. The tests remove one at a time and show that a real file then fails."""
