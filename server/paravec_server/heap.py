"""How glibc keeps memory. Other C libraries do not read this."""

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress

# One heap for all threads: a heap for each is never in the cache where calls have threads, which took a seventh of the
# time of short calls, and holders of the GIL do not contend for one. Nothing freed is kept for the thread that freed
# it, and no large buffer lies among small ones: else the heap does not close up again, and memory grew for hours.
_TUNABLES = ("glibc.malloc.arena_max=1", "glibc.malloc.tcache_count=0", "glibc.malloc.mmap_threshold=65536")

_VARIABLE, _BEGUN = "GLIBC_TUNABLES", "_PARAVEC_BEGUN"

# Seconds between two times that memory is given back.
_TRIM = 10.0


class Trimmer:
    """Gives memory back to the system that was freed. glibc by itself keeps what lies below something in use: after
    1,000 connections with large headers, for ever."""

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._last = time.monotonic()

    def trim(self, *, idle: bool) -> None:
        """To be called every second or so. Only if the process is idle: meanwhile nobody else gets memory."""
        now = time.monotonic()
        if self._trim and idle and now - self._last >= _TRIM:
            self._last = now
            self._trim(0)


def begin_again(stops: set[signal.Signals]) -> None:
    """Replace this process by one that has these settings, which are read only as a process begins; what an operator
    has set otherwise stays. Signals that stop the process wait until the next one has let them in."""
    given = os.environ.get(_VARIABLE, "")
    missing = [tunable for tunable in _TUNABLES if tunable.partition("=")[0] not in given]
    # Where the variable does not get through, a second time would not be the last.
    if missing and sys.executable and os.environ.get(_BEGUN) != str(os.getpid()):
        os.environ |= {_VARIABLE: ":".join([given, *missing] if given else missing), _BEGUN: str(os.getpid())}
        signal.pthread_sigmask(signal.SIG_BLOCK, stops)
        # Where it may not be, the server grows and is otherwise the same.
        with suppress(OSError):
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606  # ourselves
