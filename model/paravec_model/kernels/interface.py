"""Calls the kernels from Python.

kernels.h is the only declaration of their structures, constants and functions. This module parses it.
"""

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

# kernels.h without comments, every run of white space as one space.
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

_ITEM_TYPES = {"uint8_t": "u1", "uint32_t": "u4", "uint64_t": "u8", "int64_t": "i8", "float": "f4"}
"""Types of C as NumPy's `dtype.str` names them."""

CONSTANTS = {member: value for members in _ENUMERATIONS.values() for member, value in members.items()}
"""The members of all enumerations by name."""

LANES, ALIGNMENT, BLOCK = CONSTANTS["LANES"], CONSTANTS["ALIGNMENT"], CONSTANTS["BLOCK"]

_BAD_STATUSES = {value: member for member, value in _ENUMERATIONS["status"].items() if value}


class Structure:
    """A structure of kernels.h in memory. It keeps the arrays alive that it points to."""

    def __init__(self, name: str, **members: "Array | Structure | int | None") -> None:
        """`members`: all members by name; None for an empty array. TypeError for a wrong dtype, rank or order."""
        declared = _STRUCTURES[name]
        if members.keys() != declared.keys():
            raise TypeError(f"{name} has the members {', '.join(declared)}, not {', '.join(members)}")
        self.name = name
        self.values = array("q")
        """The members in the memory layout of C: each is 64 bits wide."""
        for member, kind in declared.items():
            self.values.extend(_member(f"{name}.{member}", kind, members[member]))
        self.address = self.values.buffer_info()[0]
        self._members = members


def _member(name: str, kind: str, value: "Array | Structure | int | None") -> list[int]:
    """A member as 64-bit integers. Checks what C cannot see: dtype, rank and memory order."""
    if kind == "int64_t" and isinstance(value, int):
        return [value]
    if kind in _STRUCTURES:
        members = list(_STRUCTURES[kind])
        is_array = members[0] == "data"
        if not is_array and isinstance(value, Structure) and value.name == kind:
            return list(value.values)
        if is_array and value is None:
            return [0] * len(members)
        if is_array and isinstance(value, np.ndarray):
            item = _ITEM_TYPES[_STRUCTURES[kind]["data"].strip(" *").removeprefix("const ")]
            is_plain = value.flags.c_contiguous and value.flags.aligned and value.dtype.isnative
            if value.dtype.str[1:] == item and value.ndim == len(members) - 1 and is_plain:
                return [value.ctypes.data, *value.shape]
            layout = "" if value.flags.c_contiguous else " that is not contiguous"
            raise TypeError(f"{name} is a {kind}, not an array of {value.dtype} of {value.ndim} dimensions{layout}")
    raise TypeError(f"{name} is a {kind}, not {type(value).__name__}")


Kernel = Callable[..., int]


@cache
def kernel(name: str) -> Kernel:
    """A function of kernels.h; ModelError if there is no library for this CPU.

    Pass pointers as addresses or bytes. Functions that return a status raise ValueError for BAD_ statuses and take
    `hold_gil=True` to keep the GIL: when threads contend, to get it back can take longer than a short kernel runs.
    """
    library = load()
    # PyDLL calls keep the GIL, CDLL calls release it.
    gil_held = ctypes.PyDLL(library._name, handle=library._handle)[name]
    gil_released = library[name]
    result, parameters = _FUNCTIONS[name]
    for function in (gil_held, gil_released):
        function.restype = ctypes.c_int64 if result == "int64_t" else ctypes.c_int32
        function.argtypes = [ctypes.c_void_p if "*" in parameter else ctypes.c_int64 for parameter in parameters]
    if result == "int64_t":
        return gil_released

    def call(*arguments: int | bytes, hold_gil: bool = False) -> int:
        status: int = gil_held(*arguments) if hold_gil else gil_released(*arguments)
        if status and status in _BAD_STATUSES:
            raise ValueError(f"{name} refuses its arguments: {_BAD_STATUSES[status]}")
        return status

    return call


class Workspace:
    """Scratch memory for one call of a kernel at a time, aligned to a cache line."""

    def __init__(self, size: int) -> None:
        """`size`: bytes. They are not initialized."""
        self._memory = np.empty(size + ALIGNMENT, np.uint8)
        self.address: int = -(-self._memory.ctypes.data // ALIGNMENT) * ALIGNMENT
        self.size = size


def address(items: "Array | array[Any]") -> int:
    """The address of an array's first item."""
    if isinstance(items, array):
        return items.buffer_info()[0]
    if items.flags.writeable and items.size:
        # Three times as fast as items.ctypes.
        buffer: Any = items
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    return int(items.ctypes.data)
