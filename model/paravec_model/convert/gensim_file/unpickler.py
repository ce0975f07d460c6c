"""Reads a pickle instruction by instruction, and does what they say with data only.

Python's own unpickler calls what a pickle names, and sets aside as much memory as one declares. Here the standard
library's `pickletools` cuts the file into instructions, and the few dozen that gensim's files are made of work on
lists, dicts and the stand-ins of `stand_ins`; no other instruction or name is taken. Nothing is copied that a pickle
could have copied again and again, and only text and numbers are keys of a dict, the others are left out unhashed; so
time and memory grow with the file alone.
"""

import pickletools
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from typing import Any

from ...errors import ConversionError
from .allowed_globals import Name
from .stubs import BIG_NUMBER, Forgetful, StandIn

Resolve = Callable[[str], Name]

# Names of other Pythons and numpys, and how they are told here.
_RENAMED = {
    "__builtin__.": "builtins.",
    "builtins.unicode": "builtins.str",
    "builtins.xrange": "builtins.range",
    "copy_reg.": "copyreg.",
    "numpy._core.": "numpy.core.",
    "numpy.core.memmap.": "numpy.",
    "pathlib._local.": "pathlib.",
}

_LARGEST_NUMBER = 2**63

# No object of gensim's or numpy's is made from more; a long tuple of arguments could be copied at no cost.
_MOST_ARGUMENTS = 16

# The longest line that an instruction takes: a module, a class, a decimal number. In protocol 0 a text is one, too, and
# so are the bytes of an array.
_LONGEST_LINE, _TEXT = 1000, b"V"


class BoundedFile:
    """A file that is never read beyond so many bytes, nor asked for more than it may still give."""

    def __init__(self, file: BufferedIOBase, size: int) -> None:
        self._file = file
        self._left = size
        self._last = b""

    def read(self, count: int) -> bytes:
        """Exactly so many bytes."""
        data = self._file.read(count) if count <= self._left else b""
        if len(data) != count:
            raise ConversionError(f"is damaged, or made to fill the memory: {count} more bytes are not to be had")
        self._left -= count
        self._last = data
        return data

    def readline(self) -> bytes:
        """A line, or the beginning of one that is too long."""
        line = self._file.readline(self._left if self._last == _TEXT else min(self._left, _LONGEST_LINE))
        self._left -= len(line)
        return line


def unpickle(file: BoundedFile, resolve: Resolve) -> Any:
    """The object in a pickle, made of Python's own data and of what `resolve` has for a name, "module.name".

    Text and bytes of Python 2 are text, each byte a letter (latin1), as gensim reads them. ConversionError if it asks
    for anything else; any error that a wrong operand gives (LookupError, TypeError, ValueError) if it is damaged.
    """
    machine = _Machine(resolve)
    for opcode, argument, _position in pickletools.genops(file):  # type: ignore[arg-type]
        instruction = INSTRUCTIONS.get(opcode.name)
        if instruction is None:
            raise ConversionError(f"has the pickle instruction {opcode.name}, which no gensim model needs")
        instruction(machine, argument)
    return machine.pop()


class _Machine:
    """The stack and the memory that a pickle's instructions work on."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def pop(self) -> Any:
        return self._stack.pop()

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def push_number(self, value: int) -> None:
        # Larger ones could be made to take long together: as keys, in products.
        self.push(value if -_LARGEST_NUMBER <= value < _LARGEST_NUMBER else BIG_NUMBER)

    def nothing(self, _argument: Any) -> None:
        pass

    def mark(self, _argument: None) -> None:
        self._marks.append(len(self._stack))

    def take(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def take_marked(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def get(self, index: int) -> None:
        self.push(self._memo[index])

    def put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def memoize(self, _argument: None) -> None:
        self.put(len(self._memo))

    def append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Forgetful):
            return
        if type(target) is not list:
            raise TypeError("what is appended to is not a list")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Forgetful):
            return
        if type(target) is not dict:
            raise TypeError("what has its items set is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # A tag may be anything that Python can hash, and gensim has a dict of them, which we do not need.
            if type(key) in (str, int):
                target[key] = value

    def make_dict(self, _argument: None) -> None:
        items = self.take_marked()
        self.push({})
        self.set_items(items)

    def resolve(self, name: str) -> None:
        for prefix, now in _RENAMED.items():
            if name.startswith(prefix):
                name = now + name.removeprefix(prefix)
        self.push(self._resolve(name))

    def resolve_pair(self, _argument: None) -> None:
        module, name = self.take(2)
        if type(module) is not str or type(name) is not str:
            raise TypeError("a name is not text")
        self.resolve(f"{module}.{name}")

    def call(self, _argument: None) -> None:
        name, arguments = self._name_and_arguments()
        self.push(name.call(*arguments))

    def instance(self, _argument: None) -> None:
        name, arguments = self._name_and_arguments()
        self.push(name.instance(*arguments))

    def _name_and_arguments(self) -> tuple[Name, tuple[Any, ...]]:
        name, arguments = self.take(2)
        if not isinstance(name, Name) or type(arguments) is not tuple:
            raise TypeError("what is called is not a name")
        if len(arguments) > _MOST_ARGUMENTS:
            raise ConversionError("makes an object from more arguments than gensim does")
        return name, arguments

    def build(self, _argument: None) -> None:
        state = self.pop()
        target = self._stack[-1]
        if not isinstance(target, StandIn):
            raise TypeError("what has its state set is not an object")
        target.build(state)


_Instruction = Callable[[_Machine, Any], None]


def _constant(value: Any) -> _Instruction:
    return lambda machine, _argument: machine.push(value)


INSTRUCTIONS: Mapping[str, _Instruction] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _Machine.nothing),
    **dict.fromkeys(
        ("BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
         "BYTEARRAY8", "BINFLOAT", "FLOAT", "UNICODE"),
        _Machine.push,
    ),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"), _Machine.push_number),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_TUPLE": _constant(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(Forgetful("set")),
    "MARK": _Machine.mark,
    "LIST": lambda machine, _: machine.push(machine.take_marked()),
    "DICT": _Machine.make_dict,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.take_marked())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.take(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.take(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.take(3))),
    "FROZENSET": lambda machine, _: machine.push(tuple(machine.take_marked())),
    "APPEND": lambda machine, _: machine.append(machine.take(1)),
    "APPENDS": lambda machine, _: machine.append(machine.take_marked()),
    "ADDITEMS": lambda machine, _: machine.append(machine.take_marked()),
    "SETITEM": lambda machine, _: machine.set_items(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.take_marked()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "MEMOIZE": _Machine.memoize,
    "GLOBAL": lambda machine, pair: machine.resolve(pair.replace(" ", ".")),
    "STACK_GLOBAL": _Machine.resolve_pair,
    "NEWOBJ": _Machine.instance,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}  # fmt: skip
"""What a pickle may ask for; each is tried on real files by the tests, and none is more than they need."""
