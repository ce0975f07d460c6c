"""Compressed files, by their suffix: gzip, bzip2, xz and zstd, read and appended to."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from ..problems import missing


class Compression(NamedTuple):
    """How a format is read and written."""

    opener: Callable[[Any], Any]
    """A file of what a compressed file holds."""
    compressor: Callable[[], Any]
    """Something with `compress` and `flush`, which make one member of a file; members may follow each other."""


def _gzip() -> Compression:
    return Compression(gzip.open, lambda: zlib.compressobj(wbits=31))


def _bzip2() -> Compression:
    return Compression(bz2.open, bz2.BZ2Compressor)


def _xz() -> Compression:
    return Compression(lzma.open, lzma.LZMACompressor)


def _zstd() -> Compression:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # of Python 3.14
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise missing("backports.zstd", ".zst before Python 3.14", "'paravec[cli]'") from None
    return Compression(zstd.open, zstd.ZstdCompressor)


_FORMATS = {".gz": _gzip, ".bz2": _bzip2, ".xz": _xz, ".zst": _zstd}


def inner_suffix(path: Path | None) -> str:
    """The suffix that tells the format of what a file holds: of x.jsonl.gz it is .jsonl."""
    if path is None:
        return ""
    return Path(path.stem if is_compressed(path) else path).suffix.lower()


def is_compressed(path: Path | None) -> bool:
    """Whether a file's suffix says so."""
    return path is not None and path.suffix.lower() in _FORMATS


def compression_of(path: Path) -> Compression | None:
    """The compression that a file's suffix says, if any; CommandError if what it needs is not installed."""
    made = _FORMATS.get(path.suffix.lower())
    return made() if made else None


def opened(path: Path) -> BinaryIO:
    """The file's content, decompressed; OSError if it cannot be opened."""
    compression = compression_of(path)
    return cast(BinaryIO, compression.opener(path)) if compression else path.open("rb")


class Members:
    """Appends to a file in compressed members, each of which ends where the file can be cut."""

    def __init__(self, file: BinaryIO, compression: Compression) -> None:
        """`file` is at its end."""
        self._file, self._compression = file, compression
        self._open: Any = None

    def write(self, data: bytes) -> None:
        """Append."""
        self._open = self._open or self._compression.compressor()
        self._file.write(self._open.compress(data))

    def flush(self) -> None:
        """End the member."""
        if self._open:
            self._file.write(self._open.flush())
            self._open = None
        self._file.flush()

    def tell(self) -> int:
        """The length of the file, which is at the end of a member after `flush`."""
        return self._file.tell()
