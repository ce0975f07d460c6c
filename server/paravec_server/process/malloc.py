"""Settings of glibc's malloc, and the return of free memory. Other C libraries have neither."""

import ctypes
import os
import time

# By tunable: the parameter of mallopt and its value. All threads share one arena: with one per thread, memory of short
# calls is rarely in the cache, which cost a seventh of their time. Each buffer of 64 KiB or more is mapped separately:
# among small ones they leave gaps, and memory grew for hours.
_TUNABLES = {"arena_max": (-8, 1), "mmap_threshold": (-3, 64 * 1024)}

_TRIM_SECONDS = 10.0


def configure() -> None:
    """Set the tunables, before the process starts threads. Those in GLIBC_TUNABLES keep the operator's value."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    given = os.environ.get("GLIBC_TUNABLES", "")
    for name, (parameter, value) in _TUNABLES.items():
        if mallopt and f"glibc.malloc.{name}=" not in given:
            mallopt(parameter, value)


class MallocTrimmer:
    """Returns free memory to the system. glibc alone keeps what lies below a block in use: after 1,000 connections with
    large headers, for good."""

    def __init__(self) -> None:
        self._malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._last = time.monotonic()

    def trim(self, *, idle: bool) -> None:
        """Trim if the process is idle and 10 seconds have passed since the last time. It holds malloc's lock."""
        now = time.monotonic()
        if self._malloc_trim and idle and now - self._last >= _TRIM_SECONDS:
            self._last = now
            self._malloc_trim(0)
