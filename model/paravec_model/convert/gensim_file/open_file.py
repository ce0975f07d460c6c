"""Opens a gensim file, compressed or not, and recognizes files that are not one."""

import bz2
import gzip
import io
import lzma
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# Arrays of floats hardly shrink, and lists of words to about a quarter. A file that grows beyond this factor, and 1 MiB
# for small files, was made to fill the memory.
_MAX_GROWTH, _GROWTH_ALLOWANCE_BYTES = 20, 2**20

# Twice what `xz -9` needs. A header may ask for 4 GiB, and Python's own lzma.LZMAFile would allocate them.
_XZ_MEMORY_BYTES = 128 * 2**20
_XZ_CHUNK_BYTES = 2**16

# The first bytes that are matched against `_SIGNATURES`.
_HEAD_BYTES = 1024

_SIGNATURES = [
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), what)
    for pattern, what in (
        (rb"\Z", "is empty"),
        (rb"version https://git-lfs", "is a Git LFS pointer, not the file itself; fetch that: git lfs pull"),
        (rb"PK\x03\x04", "is a zip archive, not what gensim saved; unpack it first"),
        (rb"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it first: zstd -d"),
        (
            rb"\x78[\x01\x5e\x9c\xda]",
            "is compressed with zlib, as joblib does; load it there, and save it with model.save",
        ),
        (rb"\xba\x16\x4f\x2f", "holds a fastText model: nothing can be inferred from it"),
        (rb"\x93NUMPY", "is an array that gensim saved beside a model; name the model's own file"),
        (rb"\x89HDF", "is an HDF5 file; save the model with model.save of gensim"),
        (rb"\s*<(!DOCTYPE|html)", "is a web page; download the file itself"),
        (rb".{257}ustar", "is a tar archive; unpack it first"),
        (
            rb"\d+ \d+\s*\n\S+( -?\d[\d.e+-]*)+\s",
            "holds word vectors in word2vec's text format: nothing can be inferred from them",
        ),
        (rb"\d+ \d+\s*\n", "holds word vectors in word2vec's binary format: nothing can be inferred from them"),
    )
]


class _XzFile(io.RawIOBase):
    """The decompressed content of an .xz file. OSError if it is damaged or needs more than `_XZ_MEMORY_BYTES`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decompressor = self._new_decompressor()

    @staticmethod
    def _new_decompressor() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = b""
        try:
            while not data:
                packed = b""
                if self._decompressor.eof:
                    # A file may hold several streams with zero bytes between them.
                    packed = (self._decompressor.unused_data or self._file.read(_XZ_CHUNK_BYTES)).lstrip(b"\0")
                    if not packed:
                        return 0
                    self._decompressor = self._new_decompressor()
                elif self._decompressor.needs_input and not (packed := self._file.read(_XZ_CHUNK_BYTES)):
                    raise EOFError
                data = self._decompressor.decompress(packed, len(buffer))
        except lzma.LZMAError as error:
            raise OSError(str(error)) from error
        buffer[: len(data)] = data
        return len(data)


_Decompress = Callable[[io.BufferedReader], io.BufferedIOBase]

_COMPRESSIONS: dict[bytes, _Decompress] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lambda file: io.BufferedReader(_XzFile(file)),
}


@contextmanager
def open_file(path: Path) -> Iterator[tuple[io.BufferedIOBase, int]]:
    """The file's content, decompressed, and the most bytes to read of it."""
    with path.open("rb") as file:
        size, decompress = path.stat().st_size, _compression(file)
        yield (decompress(file), size_limit(size)) if decompress else (file, size)


def _compression(file: io.BufferedReader) -> _Decompress | None:
    magic = file.read(6)
    file.seek(0)
    return next((decompress for start, decompress in _COMPRESSIONS.items() if magic.startswith(start)), None)


def size_limit(compressed: int) -> int:
    """The most bytes that so many compressed bytes may hold."""
    return _MAX_GROWTH * compressed + _GROWTH_ALLOWANCE_BYTES


def recognize(path: Path) -> str | None:
    """What a file that is no gensim model is instead, and what to do with it; None if its first bytes do not tell."""
    try:
        with open_file(path) as (file, _):
            head = file.read(_HEAD_BYTES)
    except Exception:
        # Each decompressor raises errors of its own for damaged data.
        return None
    return next((what for pattern, what in _SIGNATURES if pattern.match(head)), None)
