"""A worker's place among several, as its parent tells it."""

import ctypes
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from ..telemetry.counters import SharedCounters, WorkerCounters

_VARIABLE = "_PARAVEC_WORKER"

# Of Linux's prctl.h.
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class WorkerIdentity:
    """Which worker this process is, and what it shares with the others."""

    figures: SharedCounters
    number: int
    listen: str
    """The address, which the parent holds."""

    @property
    def row(self) -> WorkerCounters:
        """Where this worker counts."""
        return self.figures.workers[self.number]

    def environment(self) -> dict[str, str]:
        """What tells a child its place."""
        facts = (self.number, len(self.figures.workers), self.figures.fileno, os.getpid(), self.listen)
        return {_VARIABLE: " ".join(map(str, facts))}


def identity_from_environment(environ: Mapping[str, str] | None = None) -> WorkerIdentity | None:
    """The place of this process; None if it has no parent that gave it one. It will end with its parent."""
    told = (os.environ if environ is None else environ).get(_VARIABLE)
    if not told:
        return None
    number, workers, fd, parent, listen = told.split(" ", 4)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        os._exit(0)
    return WorkerIdentity(SharedCounters(int(workers), int(fd)), int(number), listen)
