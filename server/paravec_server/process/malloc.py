"""How glibc keeps memory. Other C libraries have no such settings."""

import ctypes
import os
import time

# By name, the parameter of mallopt and its value. One arena for all threads: with one for each, memory is not in the
# cache where calls have threads, which took a seventh of the time of short calls. Buffers from 64 KiB on are mapped by
# themselves: among small ones they leave gaps, and memory grew for hours.
_SETTINGS = {"arena_max": (-8, 1), "mmap_threshold": (-3, 64 * 1024)}

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


def configure() -> None:
    """Set what a server needs, before it has threads. What GLIBC_TUNABLES says of a setting stays."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    given = os.environ.get("GLIBC_TUNABLES", "")
    for name, (parameter, value) in _SETTINGS.items():
        if mallopt and f"glibc.malloc.{name}=" not in given:
            mallopt(parameter, value)
