"""The tags of an artifact's documents. The file is mapped, and a tag is parsed when it is used.

`doctags.json` is a list of strings and integers with one entry a line, as `writer.write_json` writes it.
`doctag_offsets` holds where each entry's line begins and the last one ends, `doctag_norms` the L2 norm of each vector.
Artifacts from before there was a search for neighbours have neither; both are then computed on first use.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from ..errors import ArtifactError
from .finite import row_blocks

Tag: TypeAlias = str | int

DOCTAGS = "doctags.json"


@dataclass(frozen=True)
class SelectedRows:
    """Some rows of a matrix that may be mapped and larger than memory; a slice copies only its own rows."""

    matrix: npt.NDArray[Any]
    selected: npt.NDArray[np.intp]

    ndim = 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """As NumPy's."""
        return self.matrix.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """As NumPy's."""
        return len(self.selected), self.matrix.shape[1]

    def __len__(self) -> int:
        return len(self.selected)

    def __getitem__(self, piece: slice) -> npt.NDArray[Any]:
        rows: npt.NDArray[Any] = self.matrix[self.selected[piece]]
        return rows


@dataclass(frozen=True)
class StackedRows:
    """Matrices of equal width, one below the other; a slice copies only its own rows."""

    parts: Sequence[npt.NDArray[Any] | SelectedRows]

    ndim = 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """As NumPy's."""
        return self.parts[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """As NumPy's."""
        return len(self), self.parts[0].shape[1]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, piece: slice) -> npt.NDArray[Any]:
        begin, end, _ = piece.indices(len(self))
        found, first = [], 0
        for part in self.parts:
            found.append(part[max(begin - first, 0) : max(end - first, 0)])
            first += len(part)
        rows: npt.NDArray[Any] = np.concatenate(found)
        return rows


class Doctags(Sequence[Tag]):
    """The tags, in the order of `doctag_vectors`. Indexing raises ArtifactError for an entry that is damaged."""

    def __init__(self, file: Path, count: int, offsets: npt.NDArray[np.int64] | None = None) -> None:
        """Map `file`, a doctags.json of `count` tags; ArtifactError if that fails. `offsets`: None to compute them."""
        self._file, self._count, self._stored_offsets = file, count, offsets
        try:
            self._text = np.memmap(file, np.uint8, "r").view(np.ndarray)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{file}: cannot be read: {error}") from error

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Tag: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tag]: ...

    def __getitem__(self, index: int | slice) -> Tag | list[Tag]:
        selected = range(self._count)[index]
        return [self._parse(i) for i in selected] if isinstance(selected, range) else self._parse(selected)

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Byte in the file where each entry begins, and where the last one ends; shape (tags + 1,)."""
        return self._line_offsets() if self._stored_offsets is None else self._stored_offsets

    def index_of(self, tag: Tag) -> int | None:
        """The position of a tag, or None. The first call reads the whole file; ArtifactError if it is damaged."""
        line = json.dumps(tag).encode("ascii")
        hashes, order = self._by_hash
        key = hash(line)
        for position in order[np.searchsorted(hashes, key) : np.searchsorted(hashes, key, "right")].tolist():
            if self._line(position) == line:
                return int(position)
        return None

    @cached_property
    def _by_hash(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The sorted hashes of all lines, and the positions of their tags. Takes 16 bytes a tag; a dict takes 200."""
        lines = self._text.tobytes().replace(b",\n", b"\n").splitlines()[1:-1]
        if len(lines) != self._count:
            raise ArtifactError(f"{self._file}: is not a list of {self._count} entries, one a line")
        hashes = np.fromiter(map(hash, lines), np.int64, self._count)
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order

    def check(self) -> None:
        """ArtifactError unless every entry is a tag at its offset. Parses the whole file."""
        if not np.array_equal(self.offsets, self._line_offsets()):
            raise ArtifactError(
                f"{self._file.with_name('doctag_offsets.npy')}: does not split {DOCTAGS} into its lines"
            )
        for _ in self:
            pass

    def _line_offsets(self) -> npt.NDArray[np.int64]:
        # Strings of JSON hold no line ends: they are escaped.
        text = self._text
        offsets = np.flatnonzero(text == ord("\n"))[:-1] + 1
        if len(offsets) != self._count + 1 or offsets[0] != 2 or text[offsets[-1] :].tobytes() != b"]\n":
            raise ArtifactError(f"{self._file}: is not a list of {self._count} entries, one a line")
        return offsets

    def _line(self, index: int) -> bytes:
        begin, end = self.offsets[index : index + 2].tolist()
        return self._text[max(begin, 0) : max(end, 0)].tobytes().rstrip(b",\n")

    def _parse(self, index: int) -> Tag:
        try:
            tag = json.loads(self._line(index))
        except (ValueError, RecursionError):
            tag = None
        if type(tag) not in (str, int):
            raise ArtifactError(f"{self._file}: entry {index} is not a tag, which is a string or an integer")
        return tag  # type: ignore[no-any-return]


def row_norms(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The L2 norm of each row of a matrix that may be larger than memory; float32 of shape (rows,)."""
    squares = (np.square(block, dtype=np.float64).sum(axis=1) for block in row_blocks(vectors))
    norms: npt.NDArray[np.float64] = np.sqrt(np.concatenate([np.empty(0), *squares]))
    return norms.astype(np.float32)
