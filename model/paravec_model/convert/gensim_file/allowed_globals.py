"""The names in gensim's files, and what each stands for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...errors import ConversionError, UnsafePickleError
from .stubs import Foreign, Forgetful, Inert, PickledArray, PickledDtype


def _scalar(dtype: Any, data: Any) -> Any:
    if not isinstance(dtype, PickledDtype):
        raise ConversionError("a number is told in a way that is not numpy's")
    return dtype.scalar(data)


def _encode(text: Any, encoding: Any) -> str:
    """How pickles of protocol 2 write bytes: as text of the same numbers. It stays text until it is needed."""
    if encoding != "latin1" or not isinstance(text, str):
        raise ConversionError("bytes are told in a way that is not Python's")
    return text


@dataclass(frozen=True)
class Name:
    """What a name in a pickle resolves to."""

    call: Callable[..., Any]
    """Makes what stands for that which calling the name would give."""
    new: Callable[..., Any] | None = None
    """Makes what stands for an instance of the class of this name, if that is not the same."""

    def instance(self, *args: Any) -> Any:
        """What stands for an instance that is made without a call."""
        return (self.new or self.call)(*args)


def _reconstructed(name: Any, *_args: Any) -> Any:
    """How pickles of protocols 0 and 1 make instances."""
    if not isinstance(name, Name):
        raise ConversionError("an object is told in a way that is not Python's")
    return name.instance()


def inert(gensim_class: str) -> Name:
    """The name of a class of which only the attributes matter."""
    return Name(partial(Inert, gensim_class))


def foreign(name: str) -> Name:
    """The name of something of others: an instance is as good as none, and a call is refused."""

    def refuse(*_args: Any) -> Any:
        raise unneeded(name)

    return Name(refuse, partial(Foreign, name))


def forgotten(name: str) -> Name:
    """The name of something that inference does not need."""
    return Name(partial(Forgetful, name))


def unneeded(name: str) -> UnsafePickleError:
    """The refusal of a name."""
    return UnsafePickleError(f"asks for {name}, which no gensim Doc2Vec model needs; nothing of it was run")


_INERT = (
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

_FORGOTTEN = (
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

# What people hang on a model, or take for tags.
_HUNG = (
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

NAMES = {
    **{name: inert(name) for name in _INERT},
    **{name: forgotten(name) for name in (*_FORGOTTEN, *_HUNG)},
    "_codecs.encode": Name(_encode),
    "builtins.bytes": Name(lambda: b""),
    "copyreg._reconstructor": Name(_reconstructed),
    "numpy.dtype": Name(PickledDtype),
    "numpy.core.multiarray._reconstruct": Name(PickledArray),
    "numpy.core.multiarray.scalar": Name(_scalar),
    "numpy.core.numeric._frombuffer": Name(PickledArray.of),
}
"""All names that gensim's Doc2Vec files hold, and those of what people hang on a model; tests show each is needed."""
