"""What a benchmark was run on."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any


def cpu() -> str:
    """The make of the CPU, or else its kind."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return (names or [platform.machine()])[0]


def software() -> dict[str, str]:
    """Versions of what matters for speed."""
    names = ("paravec", "grpcio", "protobuf", "numpy", "gensim")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def write_figures(path: Path | None, **figures: Any) -> None:
    """Write figures as JSON, with what they were measured on, if there is a path."""
    if path:
        path.write_text(json.dumps({"cpu": cpu(), "software": software(), **figures}, indent=2) + "\n")


def usable_cores() -> list[int]:
    """The cores that this process may use, if it can be pinned to some."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


def pin_to_one_core() -> None:
    """Stay on one core, so that neither side gets help from another."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, usable_cores()[:1])
