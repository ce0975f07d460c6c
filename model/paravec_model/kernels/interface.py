"""The kernels as Python calls them. Their structures, constants and functions are declared in kernels.h, which this
module reads: nothing of it is written down a second time."""

import ctypes
import re
from array import array
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .library import load

Array = npt.NDArray[Any]

# Without comments, and with one space wherever a line may end.
_HEADER = re.sub(r"(?:/\*.*?\*/|\s)+", " ", Path(__file__).with_name("kernels.h").read_text("utf-8"), flags=re.DOTALL)
_ENUMERATIONS = {
    name: {member: int(value) for member, value in re.findall(r"(\w+) = (\d+)", members)}
    for name, members in re.findall(r"enum (\w+) \{(.*?)\};", _HEADER)
}
_STRUCTURES: dict[str, dict[str, str]] = {
    name: {member: kind.strip() for kind, member in re.findall(r"((?:const )?\w+ \*?)(\w+);", members)}
    for members, name in re.findall(r"typedef struct \{(.*?)\} (\w+);", _HEADER)
}
_FUNCTIONS = {
    name: (result, parameters.split(", "))
    for result, name, parameters in re.findall(r"(int32_t|int64_t) (\w+)\((.*?)\);", _HEADER)
}

_ITEMS = {"uint8_t": "u1", "uint32_t": "u4", "uint64_t": "u8", "int64_t": "i8", "float": "f4"}
"""What NumPy calls the types of C."""

CONSTANTS = {member: value for members in _ENUMERATIONS.values() for member, value in members.items()}
"""The members of all enumerations."""

LANES, ALIGNMENT, BLOCK = CONSTANTS["LANES"], CONSTANTS["ALIGNMENT"], CONSTANTS["BLOCK"]

_FAULTS = {value: member for member, value in _ENUMERATIONS["status"].items() if value}


class Structure:
    """A structure of kernels.h in memory. It keeps the arrays that it points to."""

    def __init__(self, name: str, **members: "Array | Structure | int | None") -> None:
        """The members by name; None is an array that is not there. TypeError if one has another type or shape."""
        declared = _STRUCTURES[name]
        if members.keys() != declared.keys():
            raise TypeError(f"{name} has the members {', '.join(declared)}, not {', '.join(members)}")
        self.name = name
        self.words = array("q")
        """The members as C lays them out: all are 64 bits wide."""
        for member, kind in declared.items():
            self.words.extend(_member(f"{name}.{member}", kind, members[member]))
        self.address = self.words.buffer_info()[0]
        self._kept = members


def _member(name: str, kind: str, value: "Array | Structure | int | None") -> list[int]:
    """A member as 64-bit words. What C cannot see is checked: the type of items, dimensions and order."""
    if kind == "int64_t" and isinstance(value, int):
        return [value]
    if kind in _STRUCTURES:
        parts = list(_STRUCTURES[kind])
        if parts[0] != "data" and isinstance(value, Structure) and value.name == kind:
            return list(value.words)
        if parts[0] == "data" and value is None:
            return [0] * len(parts)
        if parts[0] == "data" and isinstance(value, np.ndarray):
            items = _ITEMS[_STRUCTURES[kind]["data"].strip(" *").removeprefix("const ")]
            sound = value.flags.c_contiguous and value.flags.aligned and value.dtype.isnative
            if value.dtype.str[1:] == items and value.ndim == len(parts) - 1 and sound:
                return [value.ctypes.data, *value.shape]
            layout = "" if value.flags.c_contiguous else " that is not contiguous"
            raise TypeError(f"{name} is a {kind}, not an array of {value.dtype} of {value.ndim} dimensions{layout}")
    raise TypeError(f"{name} is a {kind}, not {type(value).__name__}")


Kernel = Callable[..., int]


@cache
def kernel(name: str) -> Kernel:
    """A function of kernels.h; ModelError if this machine has no library for it.

    Pointers are passed as addresses, or bytes. With `hold_gil=True` the kernel keeps the GIL: where threads contend,
    to get it back takes longer than a kernel does for a short text. ValueError if it refuses its arguments.
    """
    library = load()
    # The same library, whose functions keep other threads of the interpreter waiting.
    keeping = ctypes.PyDLL(library._name, handle=library._handle)[name]
    releasing = library[name]
    result, parameters = _FUNCTIONS[name]
    for function in (keeping, releasing):
        function.restype = ctypes.c_int64 if result == "int64_t" else ctypes.c_int32
        function.argtypes = [ctypes.c_void_p if "*" in parameter else ctypes.c_int64 for parameter in parameters]
    if result == "int64_t":
        return releasing

    def call(*arguments: int | bytes, hold_gil: bool = False) -> int:
        status: int = keeping(*arguments) if hold_gil else releasing(*arguments)
        if status and status in _FAULTS:
            raise ValueError(f"{name} refuses its arguments: {_FAULTS[status]}")
        return status

    return call


class Workspace:
    """Memory that a kernel works in."""

    def __init__(self, size: int) -> None:
        """`size`: bytes. They may hold anything."""
        self._memory = np.empty(size + ALIGNMENT, np.uint8)
        self.address: int = -(-self._memory.ctypes.data // ALIGNMENT) * ALIGNMENT
        self.size = size


def address(items: "Array | array[Any]") -> int:
    """Where the items of an array begin."""
    if isinstance(items, array):
        return items.buffer_info()[0]
    if items.flags.writeable and items.size:
        # A third of the time that items.ctypes takes.
        buffer: Any = items
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    return int(items.ctypes.data)
