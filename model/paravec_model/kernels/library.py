"""Loads the library of kernels for this CPU; in a checkout of the source, builds it first if that changed."""

import ctypes
import platform
import sys
from functools import cache
from pathlib import Path
from struct import Struct

from ..errors import ModelError
from .levels import FOLDER, LEVELS, cpu_level, library_path, sources_hash, state_path

_ELF = Struct("40xQ10xHH")
"""Of a header of ELF's 64 bits: where the table of sections is, the size of an entry, and how many there are."""

_BUILD = "python -m paravec_model.kernels.build"

# Of a checkout only: what is installed is never built anew. Other projects have a hatch_build.py, too, and may have
# paravec installed into a folder beside it.
_IS_CHECKOUT = FOLDER.parents[1].name == "model" and (FOLDER.parents[2] / "hatch_build.py").exists()


@cache
def load(level: str | None = None) -> ctypes.CDLL:
    """The library for this CPU, or for a lower `level` of it. ModelError if it cannot be had."""
    level = level or cpu_level()
    if level is None:
        raise ModelError(
            f"paravec has no kernels for this CPU ({platform.machine()}): it needs one of {', '.join(LEVELS)}"
        )
    file = library_path(level)
    if _IS_CHECKOUT:
        _bring_up_to_date(level, file)
    try:
        _check_whole(file)
        return ctypes.CDLL(str(file))
    except FileNotFoundError:
        raise ModelError(f"{file} is missing: {_remedy()}") from None
    except OSError as error:
        raise ModelError(f"{file} cannot be loaded, {_remedy()}: {error}") from error


def _remedy() -> str:
    if any(FOLDER.glob("*.c")):
        return f"install a C compiler or ziglang, and run: {_BUILD}"
    return "pip install --force-reinstall paravec"


def _bring_up_to_date(level: str, file: Path) -> None:
    """Build the library if it was made from other sources; one process does, and others wait for it."""
    if not _is_stale(file):
        return
    import fcntl

    from . import build

    try:
        with file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_stale(file):
                build.compile_library(file, level, build.find_compiler())
    except (build.BuildError, OSError) as error:
        state = "not of this source" if file.exists() else "missing"
        raise ModelError(f"{file} is {state}, and cannot be built: {error}") from error


def _is_stale(file: Path) -> bool:
    try:
        return not file.exists() or state_path(file).read_text() != sources_hash()
    except FileNotFoundError:
        return True


def _check_whole(file: Path) -> None:
    """OSError unless the table of sections is there, which ends an ELF file: to load part of one can be a bus error."""
    with file.open("rb") as opened:
        head = opened.read(_ELF.size)
    if sys.platform != "linux":
        return
    start, size, count = _ELF.unpack(head) if len(head) == _ELF.size else (_ELF.size, 1, 1)
    if file.stat().st_size < start + size * count:
        raise OSError("damaged, or cut short")
