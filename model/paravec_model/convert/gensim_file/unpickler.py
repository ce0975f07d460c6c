"""An unpickler that runs no code of the pickle: it builds lists, dicts and stubs only.

The standard library's unpickler imports and calls what a pickle names, and allocates as much memory as one declares.
Here `pickletools` decodes the opcodes, and a machine executes the few dozen that gensim's files contain; every other
opcode or global is refused. Time and memory stay proportional to the file: no opcode copies what a pickle could have
copied repeatedly, and only strings and integers become dict keys; items with other keys are dropped, unhashed.
"""

import pickletools
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from typing import Any

from ...errors import ConversionError
from .allowed_globals import AllowedGlobal
from .stubs import OVERSIZED_INT, OpaqueStub, Stub

Resolve = Callable[[str], AllowedGlobal]

# Prefixes that other versions of Python and numpy use, and the one that `allowed_globals` lists.
_RENAMED_PREFIXES = {
    "__builtin__.": "builtins.",
    "builtins.unicode": "builtins.str",
    "builtins.xrange": "builtins.range",
    "copy_reg.": "copyreg.",
    "numpy._core.": "numpy.core.",
    "numpy.core.memmap.": "numpy.",
    "pathlib._local.": "pathlib.",
}

_INT_LIMIT = 2**63

# gensim and numpy pass fewer. The limit stops a pickle that unpacks one long tuple again and again.
_MAX_ARGUMENTS = 16

# Text opcodes end their argument (a module, a class, a decimal number) with a newline. Only that of UNICODE may be
# longer than this: protocol 0 keeps strings and the data of arrays in it.
_MAX_LINE_BYTES = 1000
_UNICODE_OPCODE = b"V"


class BoundedFile:
    """A file of which at most `size` bytes are read, and never more requested than are left."""

    def __init__(self, file: BufferedIOBase, size: int) -> None:
        self._file = file
        self._left = size
        self._last = b""

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes; ConversionError if fewer are left."""
        data = self._file.read(count) if count <= self._left else b""
        if len(data) != count:
            raise ConversionError(f"is damaged, or made to fill the memory: it has no {count} more bytes")
        self._left -= count
        self._last = data
        return data

    def readline(self) -> bytes:
        """The next line, cut at the limit of the opcode that was read last."""
        line = self._file.readline(self._left if self._last == _UNICODE_OPCODE else min(self._left, _MAX_LINE_BYTES))
        self._left -= len(line)
        return line


def unpickle(file: BoundedFile, resolve: Resolve) -> Any:
    """The object in a pickle, made of built-in types and of the stubs that `resolve` returns for "module.name".

    Python 2's str and bytes become str by latin1, as gensim loads them. ConversionError for an opcode or global that is
    not allowed. A damaged file may also raise LookupError, TypeError or ValueError.
    """
    machine = _Machine(resolve)
    for opcode, argument, _position in pickletools.genops(file):  # type: ignore[arg-type]
        instruction = INSTRUCTIONS.get(opcode.name)
        if instruction is None:
            raise ConversionError(f"has the pickle instruction {opcode.name}, which no gensim model needs")
        instruction(machine, argument)
    return machine.pop()


class _Machine:
    """The stack, marks and memo that opcodes work on, as in the pickle virtual machine."""

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
        # Arithmetic and hashing of huge integers could be made slow.
        self._stack.append(value if -_INT_LIMIT <= value < _INT_LIMIT else OVERSIZED_INT)

    def ignore(self, _argument: Any) -> None:
        pass

    def mark(self, _argument: None) -> None:
        self._marks.append(len(self._stack))

    def pop_many(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def pop_to_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def memoize(self, _argument: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, OpaqueStub):
            return
        if type(target) is not list:
            raise TypeError("APPEND to a value that is not a list")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, OpaqueStub):
            return
        if type(target) is not dict:
            raise TypeError("SETITEM on a value that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Tags of any hashable type are keys of gensim's dict of tags, which is not needed.
            if type(key) in (str, int):
                target[key] = value

    def make_dict(self, _argument: None) -> None:
        items = self.pop_to_mark()
        self.push({})
        self.set_items(items)

    def resolve(self, name: str) -> None:
        for prefix, canonical in _RENAMED_PREFIXES.items():
            if name.startswith(prefix):
                name = canonical + name.removeprefix(prefix)
        self.push(self._resolve(name))

    def resolve_pair(self, _argument: None) -> None:
        module, name = self.pop_many(2)
        if type(module) is not str or type(name) is not str:
            raise TypeError("a name is not text")
        self.resolve(f"{module}.{name}")

    def call(self, _argument: None) -> None:
        name, arguments = self._name_and_arguments()
        self.push(name.call(*arguments))

    def instance(self, _argument: None) -> None:
        name, arguments = self._name_and_arguments()
        self.push(name.instance(*arguments))

    def _name_and_arguments(self) -> tuple[AllowedGlobal, tuple[Any, ...]]:
        name, arguments = self.pop_many(2)
        if not isinstance(name, AllowedGlobal) or type(arguments) is not tuple:
            raise TypeError("REDUCE or NEWOBJ of a value that is not a global")
        if len(arguments) > _MAX_ARGUMENTS:
            raise ConversionError("makes an object from more arguments than gensim does")
        return name, arguments

    def build(self, _argument: None) -> None:
        state = self.pop()
        target = self._stack[-1]
        if not isinstance(target, Stub):
            raise TypeError("BUILD of a value that is not an object")
        target.build(state)


_Instruction = Callable[[_Machine, Any], None]


def _constant(value: Any) -> _Instruction:
    return lambda machine, _argument: machine.push(value)


INSTRUCTIONS: Mapping[str, _Instruction] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _Machine.ignore),
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
    "EMPTY_SET": lambda machine, _: machine.push(OpaqueStub("set")),
    "MARK": _Machine.mark,
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "DICT": _Machine.make_dict,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop_many(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop_many(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop_many(3))),
    "FROZENSET": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "APPEND": lambda machine, _: machine.append(machine.pop_many(1)),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop_many(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "MEMOIZE": _Machine.memoize,
    "GLOBAL": lambda machine, pair: machine.resolve(pair.replace(" ", ".")),
    "STACK_GLOBAL": _Machine.resolve_pair,
    "NEWOBJ": _Machine.instance,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}  # fmt: skip
"""Opcode -> operation. The tests remove one at a time and show that a real file then fails."""
