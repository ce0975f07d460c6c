"""The kernels as they are called: a library that was compiled beforehand where there is one, else compiled by numba.

`python -m paravec_model.precompile` makes the library, which needs numba and a linker; to load it takes neither, and a
millisecond. Both ways compile the same source for the same level of CPU, not for the one at hand, so that machines of
different make give the same bits.
"""

import ctypes
from array import array
from collections.abc import Callable
from functools import cache
from pathlib import Path
from struct import Struct
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import ModelError
from .libraries import also_in, cpu, precompiled, source

Array = npt.NDArray[Any]
Argument: TypeAlias = "Array | Shared | array[int] | int"
Kernel = Callable[..., None]

_DOCUMENTS = "u4[] i8[] f4[,] f4[] u4[,] u4[,] u4[,] f4[] i8[] i8[,]"
_MODEL = "i8 f4[,] i8 f4[,] i8[] u4[] u1[] i8 u4[] f4[,] i8 i8 i8 i8 i8"
ARGUMENTS = {
    "fill_draws": "u8[] u4[,] u4[,] u4[] u4[] u4",
    "fill_windows": "u8[] u4[,] u4",
    "fill_slots": "u1[] i8[] u8[]",
    "look_up": "u1[] u4[] i8[] u1[] i8[] u8[]",
    "read_texts": "u1[] i8[] i8[] u4[] i8 u4[] i8 i8 i8 u1[] i8[] u8[]",
    "find_nearest": "f4[,] f4[,] u4[,] i8 i8 f4[,] f4[]",
    "dbow": f"{_DOCUMENTS} {_MODEL}",
    "dm": f"{_DOCUMENTS} {_MODEL}",
    "dm_concat": f"{_DOCUMENTS} {_MODEL}",
    "solve": "u4[] i8[] f4[,] f4[,] f4[,] i8[] u4[] u4[] i8 f4[,] f4[] f4[] f4[,] i8 f4[,] i8[] u4[] u1[] i8 u4[] f4[]",
}
"""The type of each argument as NumPy writes it, and the dimensions of an array, whose rows lie end to end.

A function of the library takes one pointer, to eight-byte words: for an array its address and shape, or a number.
"""

BLOCK = 6
"""Rows that kernels take together: a word and five noise words. The kernels write six out, this names it."""

LANES = 8
"""Floats that one vector instruction takes, see `lanes`. Rows are padded to a multiple of it."""

NEW, GAP, ODD, FIRST = range(4)
"""What the table of `reading` says of a character: nothing yet; it is in no token; that depends on those beside it; or,
if it is FIRST + d, that the character d stands for it in a token."""

UNSEEN, UNREADABLE = -1, -2
"""What `reading` says of a text with a character that is NEW, and of one with an ODD one."""

_BRACKETS = ("", "[]", "[,]")
_CODES = {"u1[]": "B", "u4[]": "I", "i8[]": "q"}
"""What Python's own arrays call these types. Such an array says at once where it lies; NumPy's take half a µs."""


@cache
def _holding_gil(library: ctypes.CDLL) -> ctypes.PyDLL:
    """The same library, whose functions keep other threads of the interpreter waiting."""
    return ctypes.PyDLL(library._name, handle=library._handle)


class Shared:
    """An array that many calls pass on. Where it lies is found out once: to ask takes as long as a short text."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.kind = array.dtype.str[1:] + _BRACKETS[array.ndim]
        self.words = _words(self.kind, array)


def kernel(name: str, *model: Array | int) -> Kernel:
    """A kernel, to be called with its first arguments; those from `model` on stay the same.

    Called with `brief=True`, one of the library keeps the GIL, see `_loaded`.
    """
    kinds = ARGUMENTS[name].split()
    first, last = kinds[: len(kinds) - len(model)], kinds[len(kinds) - len(model) :]
    loaded = precompiled()
    if loaded is None:
        compiled = numba_kernel(name)
        typed = [
            np.dtype(kind).type(value) if isinstance(value, int) else value
            for kind, value in zip(last, model, strict=True)
        ]

        def call(*arguments: Argument, brief: bool = False) -> None:  # noqa: ARG001  # numba's never hold the GIL
            compiled(*map(_as_numba_takes_it, arguments), *typed)

        return call
    return _loaded(loaded[name], _holding_gil(loaded)[name], first, last, model)


def _as_numba_takes_it(argument: Argument) -> Array | int:
    if isinstance(argument, Shared):
        return argument.array
    return np.asarray(argument) if isinstance(argument, array) else argument


def _loaded(function: Any, brief: Any, first: list[str], last: list[str], model: tuple[Array | int, ...]) -> Kernel:
    """A kernel of the library. A block of arguments is kept for the next call; its end, the model, stays as it is.

    A brief call keeps the GIL: where threads contend, to get it back takes longer than a short text's kernel does.
    """
    functions = (function, brief)
    for each in functions:
        each.argtypes, each.restype = [ctypes.c_void_p], ctypes.c_int32
    types = [(np.dtype(kind[:2]), _BRACKETS.index(kind[2:]), kind, _CODES.get(kind)) for kind in first]
    variable = Struct(f"{sum(1 + dimensions for _, dimensions, *_ in types)}q")
    pack_into = variable.pack_into

    def new_block() -> tuple[bytearray, int]:
        constant = [word for kind, value in zip(last, model, strict=True) for word in _words(kind, value)]
        block = bytearray(variable.size) + Struct(f"{len(constant)}q").pack(*constant)
        return block, _address(block)

    free = [new_block()]

    def call(*arguments: Argument, brief: bool = False) -> None:
        words: list[int] = []
        for (dtype, dimensions, kind, code), argument in zip(types, arguments, strict=True):
            if type(argument) is Shared and argument.kind == kind:
                words += argument.words
            elif type(argument) is array and argument.typecode == code:
                words += argument.buffer_info()
            elif (
                type(argument) is np.ndarray
                and argument.dtype is dtype
                and argument.ndim == dimensions
                and argument.size
                and argument.flags.carray
            ):
                # As `_words` does it, in a third of the time.
                words.append(_address(argument))
                words += argument.shape
            else:
                words += _words(kind, argument)
        try:
            block, address = free.pop()
        except IndexError:
            block, address = new_block()
        pack_into(block, 0, *words)
        if functions[brief](address):
            raise RuntimeError(f"the kernel {function.__name__} failed")
        free.append((block, address))

    return call


def _address(memory: Any) -> int:
    """Where memory that can be written lies, if it is not empty."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _words(kind: str, argument: Argument) -> tuple[int, ...]:
    """What stands for an argument in a block. The types are checked: machine code would not notice."""
    if isinstance(argument, int):
        if kind.endswith("]"):
            raise TypeError(f"a kernel takes {kind}, not {type(argument).__name__}")
        return (argument,)
    items = np.asarray(_as_numba_takes_it(argument))
    if items.dtype.str[1:] + _BRACKETS[items.ndim] != kind or not items.flags.c_contiguous:
        raise TypeError(f"a kernel takes {kind}, not an array of {items.dtype}")
    return (items.ctypes.data, *items.shape)


def numba_kernel(name: str) -> Any:
    """A kernel of `ARGUMENTS` as numba has it."""
    try:
        from . import architectures, kernels, lookup, nearest, reading, solver
    except ModuleNotFoundError as error:
        raise ModelError(
            f"no kernels were compiled beforehand for this CPU ({cpu() or 'of an unknown kind'}), and {error.name} "
            f"is not installed to compile them now: pip install numba"
        ) from None
    modules = (kernels, lookup, reading, nearest, architectures, solver)
    return next(getattr(module, name) for module in modules if hasattr(module, name))


def use_cache(directory: Path) -> None:
    """Keep kernels that numba compiles in `directory`, and take from there what an earlier process compiled, or a
    library that `precompile` made there; before the first encoder."""
    also_in(directory)
    if precompiled() is not None:
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ".writable").touch()
        # numba looks for changes only in the file that a kernel begins in.
        directory = directory / source()
    except OSError as error:
        raise ModelError(f"{directory}: cannot keep compiled kernels here: {error.strerror}") from error
    from numba import config

    setattr(config, "CACHE_DIR", str(directory))  # noqa: B010  # numba knows it, its stubs do not
    for name in ARGUMENTS:
        numba_kernel(name).enable_caching()


def empty_cache(directory: Path) -> None:
    """Delete the kernels that numba keeps in `directory`."""
    for kept in [*directory.rglob("*.nbi"), *directory.rglob("*.nbc")]:
        kept.unlink(missing_ok=True)
