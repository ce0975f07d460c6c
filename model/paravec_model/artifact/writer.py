"""Writes the files of an artifact. They get their final directory name only when all are complete."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ..errors import ArtifactError, ConversionError, ModelError
from ..options import padded
from .doctags import DOCTAGS, Doctags, Tag, row_norms
from .finite import count_unusable, unusable_problem
from .manifest import FileEntry

DOCUMENT_FILES = frozenset({DOCTAGS, "doctag_vectors.npy", "doctag_norms.npy", "doctag_offsets.npy"})
"""The files that `write_documents` writes."""

_PIECE_BYTES = 8 * 2**20


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def creation_time() -> str:
    """The current time, or SOURCE_DATE_EPOCH of the environment (reproducible-builds.org), as ISO 8601 in UTC."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        when = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    except (ValueError, OverflowError, OSError):
        raise ModelError(f"SOURCE_DATE_EPOCH: {epoch!r} is not a number of seconds") from None
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def check_output(path: Path) -> None:
    """ModelError if `new_directory(path)` would fail. Call it before long work whose result goes to `path`."""
    if path.exists() or path.is_symlink():
        raise ModelError(f"{path}: already exists; choose another output, or remove it first")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise ModelError(f"{path}: cannot be created: {parent} is not a writable directory")


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A temporary directory that is renamed to `path` when the block succeeds, and removed when it fails."""
    check_output(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{path.name}.{os.urandom(4).hex()}.part"
        temporary.mkdir()
    except OSError as error:
        raise ModelError(f"{path}: cannot be created: {error.strerror}") from error
    try:
        yield temporary
        temporary.rename(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class HashingFile:
    """A file to write to, which hashes and counts the bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Write all of it."""
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data) if isinstance(data, bytes) else data.nbytes

    def entry(self) -> FileEntry:
        """Size and hash of what was written."""
        return FileEntry(self._size, self._hash.hexdigest())


class ArrayFile:
    """An .npy file of one dimension that grows at its end, so that no one needs to know its length before."""

    def __init__(self, path: Path, dtype: str) -> None:
        self.path = path
        self._dtype, self._length = dtype, 0
        path.touch()
        self._write_header()

    def _write_header(self) -> None:
        # NumPy pads a header so that those of all lengths have the same bytes.
        header = {"descr": self._dtype, "fortran_order": False, "shape": (self._length,)}
        with self.path.open("r+b") as file:
            np.lib.format.write_array_header_1_0(file, header)

    def append(self, array: npt.NDArray[Any]) -> None:
        """Write the next items."""
        with self.path.open("ab") as file:
            file.write(np.ascontiguousarray(array, self._dtype).data)
        self._length += len(array)

    def entry(self) -> FileEntry:
        """Complete the file; its entry in the manifest."""
        self._write_header()
        return FileEntry(self.path.stat().st_size, file_sha256(self.path))


def write_json(path: Path, values: Sequence[Any]) -> FileEntry:
    """Write a JSON list, one entry a line."""
    with path.open("wb") as file:
        out = HashingFile(file)
        out.write(b"[\n" + ",\n".join(json.dumps(value) for value in values).encode("ascii") + b"\n]\n")
    return out.entry()


def write_documents(directory: Path, tags: Sequence[Tag], vectors: Any) -> dict[str, FileEntry]:
    """Write the documents of an artifact: their tags and their vectors, shape (tags, vector_size)."""
    files = {DOCTAGS: write_json(directory / DOCTAGS, tags)}
    offsets = Doctags(directory / DOCTAGS, len(tags)).offsets
    arrays = {"vectors": (vectors, "<f4"), "norms": (row_norms(vectors), "<f4"), "offsets": (offsets, "<i8")}
    for part, (array, dtype) in arrays.items():
        name = f"doctag_{part}.npy"
        files[name] = write_array(directory / name, array, dtype)
    return files


def copy_file(source: Path, target: Path, listed: FileEntry | None) -> FileEntry:
    """Copy a file of an artifact, and return its entry. `listed`: its entry in the manifest; None if it has none.

    ArtifactError if the file cannot be read, or is not as listed.
    """
    try:
        read = source.open("rb")
    except OSError as error:
        raise ArtifactError(f"{source}: {error.strerror}") from error
    with read, target.open("wb") as file:
        out = HashingFile(file)
        while piece := read.read(_PIECE_BYTES):
            out.write(piece)
    entry = out.entry()
    if listed not in (None, entry):
        raise ArtifactError(f"{source}: its SHA-256 differs from the manifest's: the file was changed or damaged")
    return entry


def write_array(
    path: Path, array: npt.NDArray[Any], dtype: str, *, vectors_per_row: int = 1, pad: bool = False
) -> FileEntry:
    """Write an array as .npy in pieces, so that a mapped array need not fit in memory.

    A row of a matrix holds `vectors_per_row` vectors side by side. With `pad`, each is padded with zeros to whole cache
    lines. ConversionError if a number is NaN, infinite or too large for a model.
    """
    shape = array.shape
    if pad:
        rows, width = shape
        size = width // vectors_per_row
        shape = (rows, vectors_per_row * padded(size))
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    row_bytes = max(1, array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64)))
    step, unusable = max(1, _PIECE_BYTES // row_bytes), 0
    with path.open("wb") as file:
        out = HashingFile(file)
        np.lib.format.write_array_header_1_0(out, header)
        for start in range(0, len(array), step):
            with np.errstate(over="ignore", invalid="ignore"):
                piece = np.ascontiguousarray(array[start : start + step], dtype=dtype)
            if piece.dtype.kind == "f":
                unusable += count_unusable(piece)
            if pad:
                piece = piece.reshape(len(piece), vectors_per_row, size)
                piece = np.pad(piece, ((0, 0), (0, 0), (0, padded(size) - size)))
            out.write(piece.tobytes())
    if unusable:
        raise ConversionError(
            f"{path.stem}: {unusable_problem(unusable, int(np.prod(array.shape)))};"
            " the model cannot be used: train it again, with a lower alpha if the training diverged"
        )
    return out.entry()
