"""The identity of a worker process: which of several it is, passed on by the supervisor in its environment."""

import ctypes
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from ..telemetry.counters import SharedCounters, WorkerCounters

_VARIABLE = "_PARAVEC_WORKER"

# From linux/prctl.h.
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class WorkerIdentity:
    """Which worker this process is, and what it shares with the others."""

    shared_counters: SharedCounters
    number: int
    """0 for the first worker."""
    listen: str
    """The address that all workers listen on; the supervisor reserves its port."""

    @property
    def counters(self) -> WorkerCounters:
        """The counters of this worker."""
        return self.shared_counters.workers[self.number]

    def environment(self) -> dict[str, str]:
        """The variable from which the worker process reads its identity."""
        shared = self.shared_counters
        values = (self.number, len(shared.workers), shared.fileno, os.getpid(), self.listen)
        return {_VARIABLE: " ".join(map(str, values))}


def identity_from_environment(environ: Mapping[str, str] | None = None) -> WorkerIdentity | None:
    """The identity of this process, which gets SIGTERM when its supervisor dies; None if it is not a worker."""
    value = (os.environ if environ is None else environ).get(_VARIABLE)
    if not value:
        return None
    number, workers, fd, parent, listen = value.split(" ", 4)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        # The supervisor died before the call above.
        os._exit(0)
    return WorkerIdentity(SharedCounters(int(workers), int(fd)), int(number), listen)
