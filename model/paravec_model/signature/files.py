"""Reads small files that may be hostile."""

import os
import stat
from pathlib import Path

MAX_BYTES = 2**20
"""A signature of an artifact takes a few thousand bytes."""


def read_regular(file: Path) -> bytes:
    """The content of a file. OSError if it cannot be read, ValueError if it is no regular file or too large."""
    # A pipe that nobody writes to would block as soon as it is opened.
    with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise ValueError("is not a regular file")
        content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES} bytes")
    return content
