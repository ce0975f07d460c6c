"""The machine and the software that a benchmark runs on."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any


def cpu() -> str:
    """The CPU's model name, or its architecture if that is unknown."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return (names or [platform.machine()])[0]


def software() -> dict[str, str]:
    """Versions of the packages that affect speed."""
    names = ("paravec", "grpcio", "protobuf", "numpy", "gensim")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def write_results(path: Path | None, **results: Any) -> None:
    """Write results as JSON, with CPU and software, if `path` is given."""
    if path:
        path.write_text(json.dumps({"cpu": cpu(), "software": software(), **results}, indent=2) + "\n")


def usable_cores() -> list[int]:
    """The cores that this process may run on; [0] where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


def pin_to_one_core() -> None:
    """Pin this process to one core, so that no contender uses another."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, usable_cores()[:1])
