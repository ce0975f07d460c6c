"""How glibc keeps memory. Other C libraries do not read this."""

import os
import sys

_VARIABLE = "GLIBC_TUNABLES"

# One heap for all threads: a heap for each is never in the cache where calls have threads, which took a seventh of the
# time of short calls, and holders of the GIL do not contend for one. Nothing freed is kept for the thread that freed
# it, and no large buffer lies among small ones: else the heap does not close up again, and memory grew for hours.
_TUNABLES = "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0:glibc.malloc.mmap_threshold=65536"


def begin_again() -> None:
    """Replace this process by one that has these settings, which are read only as a process begins; not if it has
    settings already."""
    if _VARIABLE not in os.environ and sys.executable:
        os.environ[_VARIABLE] = _TUNABLES
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606  # ourselves
