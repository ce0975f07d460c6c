"""Reads .xz with bounded memory: the standard library's own reader takes what a file says it needs."""

import io
import lzma
from typing import BinaryIO

# What `xz -9` needs, and as much again; a file may say 4 GiB.
_MEMORY = 128 * 2**20

_CHUNK = 2**16


class XzFile(io.RawIOBase):
    """The content of a file that xz compressed, to be read once. OSError if it is damaged or needs too much memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decompressor = self._new()

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer, or some of it; 0 at the end."""
        data = b""
        try:
            while not data:
                packed = b""
                if self._decompressor.eof:
                    # Streams may follow each other, with zeros between them.
                    packed = (self._decompressor.unused_data or self._file.read(_CHUNK)).lstrip(b"\0")
                    if not packed:
                        return 0
                    self._decompressor = self._new()
                elif self._decompressor.needs_input and not (packed := self._file.read(_CHUNK)):
                    raise EOFError
                data = self._decompressor.decompress(packed, len(buffer))
        except lzma.LZMAError as error:
            raise OSError(str(error)) from error
        buffer[: len(data)] = data
        return len(data)
