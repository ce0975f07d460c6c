"""Files compressed with gzip, bzip2, xz or zstd, as their suffix says."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from ..optional import import_zstd


class Compression(NamedTuple):
    """How to read and write a compression format."""

    open: Callable[[Any], Any]
    """Opens a compressed file for reading; the result reads the decompressed content."""
    compressor: Callable[[], Any]
    """Makes an object with `compress` and `flush`, which writes one member. A file is one or more members."""


def _gzip() -> Compression:
    return Compression(gzip.open, lambda: zlib.compressobj(wbits=31))


def _bzip2() -> Compression:
    return Compression(bz2.open, bz2.BZ2Compressor)


def _xz() -> Compression:
    return Compression(lzma.open, lzma.LZMACompressor)


def _zstd() -> Compression:
    zstd = import_zstd()
    return Compression(zstd.open, zstd.ZstdCompressor)


_BY_SUFFIX = {".gz": _gzip, ".bz2": _bzip2, ".xz": _xz, ".zst": _zstd}


def format_suffix(path: Path | None) -> str:
    """The suffix of the format inside the compression: .jsonl for x.jsonl.gz and for x.jsonl."""
    if path is None:
        return ""
    return Path(path.stem if is_compressed(path) else path).suffix.lower()


def is_compressed(path: Path | None) -> bool:
    """Whether the file's suffix is that of a compression format."""
    return path is not None and path.suffix.lower() in _BY_SUFFIX


def compression_of(path: Path) -> Compression | None:
    """The compression format of the file's suffix, if any; CommandError if its package is missing."""
    make = _BY_SUFFIX.get(path.suffix.lower())
    return make() if make else None


def open_decompressed(path: Path) -> BinaryIO:
    """The file, decompressed, for reading; OSError if it cannot be opened."""
    compression = compression_of(path)
    return cast(BinaryIO, compression.open(path)) if compression else path.open("rb")


class MemberWriter:
    """Appends to a compressed file. Each flush ends a member, so the file can be truncated there and continued."""

    def __init__(self, file: BinaryIO, compression: Compression) -> None:
        """`file` is positioned at its end."""
        self._file, self._compression = file, compression
        self._member: Any = None

    def write(self, data: bytes) -> None:
        """Append data to the current member."""
        self._member = self._member or self._compression.compressor()
        self._file.write(self._member.compress(data))

    def flush(self) -> None:
        """End the current member."""
        if self._member:
            self._file.write(self._member.flush())
            self._member = None
        self._file.flush()

    def tell(self) -> int:
        """The size of the file in bytes; right after `flush` it is the end of a member."""
        return self._file.tell()
