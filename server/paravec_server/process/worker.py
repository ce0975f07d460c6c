"""A worker's place among several, as its parent tells it."""

import ctypes
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from ..telemetry.counters import Figures, Row

_VARIABLE = "_PARAVEC_WORKER"

# Of Linux's prctl.h.
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Place:
    """Which worker this process is, and what it shares with the others."""

    figures: Figures
    number: int
    listen: str
    """The address, which the parent holds."""

    @property
    def row(self) -> Row:
        """Where this worker counts."""
        return self.figures.rows[self.number]

    def environment(self) -> dict[str, str]:
        """What tells a child its place."""
        facts = (self.number, len(self.figures.rows), self.figures.fileno, os.getpid(), self.listen)
        return {_VARIABLE: " ".join(map(str, facts))}


def my_place(environ: Mapping[str, str] | None = None) -> Place | None:
    """The place of this process; None if it has no parent that gave it one. It will end with its parent."""
    told = (os.environ if environ is None else environ).get(_VARIABLE)
    if not told:
        return None
    number, workers, fd, parent, listen = told.split(" ", 4)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        os._exit(0)
    return Place(Figures(int(workers), int(fd)), int(number), listen)
