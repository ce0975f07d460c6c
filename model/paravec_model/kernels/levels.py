"""The CPU levels that the kernels are compiled for, and the level of this machine.

A library for a level, not for one CPU, computes the same bits on CPUs of every maker.
"""

import platform
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
"""The directory of the C sources and the compiled libraries."""


class Level(NamedTuple):
    """A CPU level, and its names for compilers and in /proc/cpuinfo."""

    machine: str
    march: str
    """-march of gcc and clang."""
    mcpu: str
    """-mcpu of zig."""
    features: str = ""
    """CPU flags of Linux that this level needs beyond the level before."""


# Of each machine, the lowest level first.
LEVELS = {
    "x86-64-v2": Level("x86_64", "x86-64-v2", "x86_64_v2", "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"),
    "x86-64-v3": Level("x86_64", "x86-64-v3", "x86_64_v3", "abm avx2 bmi1 bmi2 f16c fma movbe"),
    "aarch64": Level("aarch64", "armv8-a", "generic"),
}


def machine() -> str:
    """The architecture of this CPU: x86_64, aarch64, or another, for which there are no kernels."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


def levels_of(machine: str) -> list[str]:
    """The levels of a CPU architecture, the lowest first."""
    return [name for name, level in LEVELS.items() if level.machine == machine]


@cache
def cpu_level() -> str | None:
    """The highest level that this CPU supports; None if it supports none."""
    found = None
    features = _features()
    for name in levels_of(machine()):
        if not features.issuperset(LEVELS[name].features.split()):
            break
        found = name
    return found


def _features() -> set[str]:
    """The flags of this CPU, as far as the system lists them."""
    if platform.system() == "Darwin":
        # All Macs with a system that Python 3.11 supports have this level, and Rosetta has no higher one.
        return set(LEVELS["x86-64-v2"].features.split())
    try:
        with open("/proc/cpuinfo") as lines:
            return set(next((line for line in lines if line.startswith("flags")), "").split())
    except OSError:
        return set()


def library_path(level: str, folder: Path = FOLDER) -> Path:
    """The library of a level."""
    return folder / f"kernels-{level}.so"


def state_path(library: Path) -> Path:
    """The file, in a checkout, with the `sources_hash` that a library was compiled from."""
    return library.with_suffix(".sources")


def sources_hash() -> str:
    """A hash of the C sources, and of the modules with compiler flags and levels."""
    import hashlib

    files = [*sorted(FOLDER.glob("*.[ch]")), FOLDER / "build.py", FOLDER / "levels.py"]
    text = b"".join(b"%s %d\n%s" % (file.name.encode(), file.stat().st_size, file.read_bytes()) for file in files)
    return hashlib.sha256(text).hexdigest()
