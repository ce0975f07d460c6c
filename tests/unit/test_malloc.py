"""The malloc tunables that a server starts itself again with."""

import ctypes
import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes
from paravec_server.process import malloc

class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")]
    _fields_ += [(name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo2
malloc.configure()
before = libc.mallinfo2().hblks
libc.malloc(100_000)
print(libc.mallinfo2().hblks - before)
"""
"""Prints how many buffers were mapped for one of 100 kB."""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="about glibc 2.33 or later")
@pytest.mark.parametrize(
    ("tunables", "mapped"),
    [("", 1), ("glibc.malloc.arena_max=2", 1), ("glibc.malloc.mmap_threshold=999999", 0)],
    ids=["nothing is set", "the other is set", "it is set"],
)
def test_malloc_maps_large_buffers_separately(tunables: str, mapped: int) -> None:
    """Large buffers are mapped on their own, so that memory does not grow for hours; an operator's tunables stay."""
    # Coverage's memory would change the heap before it is looked at.
    outer = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    environment = {**outer, "GLIBC_TUNABLES": tunables}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{mapped}\n"
