"""Loads the library of kernels for this CPU. In a checkout, compiles it first if the sources have changed."""

import ctypes
import platform
import sys
from functools import cache
from pathlib import Path
from struct import Struct

from ..errors import ModelError
from .levels import FOLDER, LEVELS, cpu_level, library_path, sources_hash, state_path

_ELF = Struct("40xQ10xHH")
"""The header of a 64-bit ELF file: offset of the section table, size of an entry, number of entries."""

_BUILD = "python -m paravec_model.kernels.build"

# Only a checkout compiles again. Both conditions are needed: another project may have a hatch_build.py, and paravec
# installed into a directory beside it.
_IS_CHECKOUT = FOLDER.parents[1].name == "model" and (FOLDER.parents[2] / "hatch_build.py").exists()


@cache
def load(level: str | None = None) -> ctypes.CDLL:
    """The library for this CPU, or for a lower `level`. ModelError if it is missing, damaged or cannot be compiled."""
    level = level or cpu_level()
    if level is None:
        raise ModelError(
            f"paravec has no kernels for this CPU ({platform.machine()}): it needs one of {', '.join(LEVELS)}"
        )
    file = library_path(level)
    if _IS_CHECKOUT:
        _compile_if_outdated(level, file)
    try:
        _check_complete(file)
        return ctypes.CDLL(str(file))
    except FileNotFoundError:
        raise ModelError(f"{file} is missing: {_remedy()}") from None
    except OSError as error:
        raise ModelError(f"{file} cannot be loaded, {_remedy()}: {error}") from error


def _remedy() -> str:
    if any(FOLDER.glob("*.c")):
        return f"install a C compiler or ziglang, and run: {_BUILD}"
    return "pip install --force-reinstall paravec"


def _compile_if_outdated(level: str, file: Path) -> None:
    """Compile the library if its sources have changed. One process does; others wait on a lock."""
    if not _is_outdated(file):
        return
    import fcntl

    from . import build

    try:
        with file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_outdated(file):
                build.compile_library(file, level, build.find_compiler())
    except (build.BuildError, OSError) as error:
        state = "outdated" if file.exists() else "missing"
        raise ModelError(f"{file} is {state} and cannot be compiled: {error}") from error


def _is_outdated(file: Path) -> bool:
    try:
        return not file.exists() or state_path(file).read_text() != sources_hash()
    except FileNotFoundError:
        return True


def _check_complete(file: Path) -> None:
    """OSError if the section table, the end of an ELF file, is missing: loading a truncated file can be a bus error."""
    with file.open("rb") as opened:
        head = opened.read(_ELF.size)
    if sys.platform != "linux":
        return
    start, size, count = _ELF.unpack(head) if len(head) == _ELF.size else (_ELF.size, 1, 1)
    if file.stat().st_size < start + size * count:
        raise OSError("damaged or truncated")
