"""The levels of CPU that the kernels are compiled for, and which one this machine has.

A level, not the CPU at hand: machines of different make then give the same bits.
"""

import platform
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
"""Where the C sources lie, and the libraries beside them."""


class Level(NamedTuple):
    """What a level asks of a CPU, and how compilers call it."""

    machine: str
    march: str
    """For gcc and clang."""
    mcpu: str
    """For zig."""
    features: str = ""
    """What Linux calls the features that this level adds to the one before."""


# The lowest level of a machine comes first.
LEVELS = {
    "x86-64-v2": Level("x86_64", "x86-64-v2", "x86_64_v2", "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"),
    "x86-64-v3": Level("x86_64", "x86-64-v3", "x86_64_v3", "abm avx2 bmi1 bmi2 f16c fma movbe"),
    "aarch64": Level("aarch64", "armv8-a", "generic"),
}


def machine() -> str:
    """What kind of CPU this is: x86_64, aarch64, or another that has no kernels."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


def levels_of(machine: str) -> list[str]:
    """The levels of a kind of CPU, the lowest first."""
    return [name for name, level in LEVELS.items() if level.machine == machine]


@cache
def cpu_level() -> str | None:
    """The highest level that this CPU has; None if it has none."""
    found = None
    features = _features()
    for name in levels_of(machine()):
        if not features.issuperset(LEVELS[name].features.split()):
            break
        found = name
    return found


def _features() -> set[str]:
    """The features of this CPU, as far as the system names them."""
    if platform.system() == "Darwin":
        # Every Mac that runs a system with Python 3.11 wheels has the second level; Rosetta has no more.
        return set(LEVELS["x86-64-v2"].features.split())
    try:
        with open("/proc/cpuinfo") as lines:
            return set(next((line for line in lines if line.startswith("flags")), "").split())
    except OSError:
        return set()


def library_path(level: str, folder: Path = FOLDER) -> Path:
    """Where the library of a level lies."""
    return folder / f"kernels-{level}.so"


def state_path(library: Path) -> Path:
    """Where `sources_hash` of what a library was compiled from lies, in a checkout."""
    return library.with_suffix(".sources")


def sources_hash() -> str:
    """A hash of all that libraries are compiled from: sources, flags and levels."""
    import hashlib

    files = [*sorted(FOLDER.glob("*.[ch]")), FOLDER / "build.py", FOLDER / "levels.py"]
    text = b"".join(b"%s %d\n%s" % (file.name.encode(), file.stat().st_size, file.read_bytes()) for file in files)
    return hashlib.sha256(text).hexdigest()
