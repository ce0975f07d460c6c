"""How many cores this process may use: fewer than the machine has, if a container or a service limits its CPU time."""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

_CGROUPS, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def usable_cores(request: int | None = None, cgroups: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> int:
    """The CPU limit of the process's cgroups, rounded up; without one `request`, if given; never more than its cores.

    A Kubernetes pod without a CPU limit sees all cores of its node, but is only sure of what it requests.
    """
    cores = len(os.sched_getaffinity(0))
    limits = [limit for folder in _folders(cgroups, membership) if (limit := _limit(folder)) is not None]
    if limits:
        cores = min(cores, math.ceil(min(limits)))
    elif request is not None:
        cores = min(cores, request)
    return max(1, cores)


def _folders(cgroups: Path, membership: Path) -> Iterator[Path]:
    """The folders of the process's cgroups that may limit CPU time, and of their parents, whose limits hold too."""
    # A cgroup may have any name that a file may have.
    text = os.fsdecode(membership.read_bytes()) if membership.exists() else ""
    for line in filter(re.compile("[0-9]+:[^:]*:/").match, text.split("\n")):
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 2 has no names of controllers.
        mount = cgroups / "cpu" if controllers else cgroups
        # A container may see the path on its host, where only the mount itself exists, which is its own cgroup.
        parts = Path(path).parts[1:]
        yield from (mount.joinpath(*parts[:depth]) for depth in range(len(parts) + 1))


def _limit(folder: Path) -> float | None:
    """The CPU limit of one cgroup, in cores; None if it has none, or files that no kernel writes."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = map(int, " ".join((folder / name).read_text() for name in names).split())
        # "max" is no number.
        except (OSError, ValueError):
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None
