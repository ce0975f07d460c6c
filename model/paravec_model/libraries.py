"""Libraries of kernels compiled beforehand: which one fits this machine and this source, and where it lies."""

import ctypes
import hashlib
import platform
from functools import cache
from pathlib import Path
from struct import Struct

from .errors import ModelError

_SOURCES = (
    "kernels.py", "lookup.py", "reading.py", "nearest.py", "lanes.py", "descent.py", "architectures.py", "terms.py",
    "solver.py", "compiled.py",
)  # fmt: skip

_ELF = Struct("40xQ10xHH")
"""Of a header of ELF's 64 bits: where the table of sections is, the size of an entry, and how many there are."""

_places = [Path(__file__).parent]

_LEVELS = {
    "x86-64-v3": {"abm", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"},
    "x86-64-v2": {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"},
}
"""Levels of the x86-64 psABI and what Linux calls the features that each adds to the one below."""


@cache
def cpu() -> str | None:
    """The kind of CPU to compile for, as LLVM calls it: the same for most machines. None if that cannot be told."""
    if platform.machine() in ("aarch64", "arm64"):
        return "generic"
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return None
    flags = set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())
    return next((level for level, needed in _LEVELS.items() if needed <= flags), None)


def library(cpu: str) -> str:
    """The name of the file that holds the kernels for a kind of CPU; other source, other name."""
    return f"kernels-{platform.machine()}-{cpu}-{source()}.so"


@cache
def source() -> str:
    """What the kernels are compiled from, in short."""
    text = b"".join(Path(__file__).with_name(name).read_bytes() for name in _SOURCES)
    return hashlib.sha256(text).hexdigest()[:12]


def also_in(directory: Path) -> None:
    """Look for a library in `directory`, too, and in no other that was named before."""
    _places[1:] = [directory]


def precompiled() -> ctypes.CDLL | None:
    """The library for this CPU and this source, if there is one beside this module or in the directory named last."""
    return next(filter(None, map(load, _places)), None)


@cache
def load(directory: Path) -> ctypes.CDLL | None:
    """The library in `directory`, if there is one; ModelError if it is damaged."""
    kind = cpu()
    file = directory / library(kind) if kind else None
    if not file or not file.exists():
        return None
    try:
        _check_whole(file)
        return ctypes.CDLL(str(file))
    except OSError as error:
        raise ModelError(f"{file}: cannot be loaded; delete it, or make it anew: {error}") from error


def _check_whole(file: Path) -> None:
    """OSError unless the table of sections is there, which ends an ELF file: to load part of one can be a bus error."""
    with file.open("rb") as opened:
        head = opened.read(_ELF.size)
    start, size, count = _ELF.unpack(head) if len(head) == _ELF.size else (_ELF.size, 1, 1)
    if file.stat().st_size < start + size * count:
        raise OSError("damaged, or cut short")
