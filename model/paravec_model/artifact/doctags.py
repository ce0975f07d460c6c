"""The training documents that an artifact carries: their tags are mapped, and none is read before it is asked for.

`doctags.json` is a list of strings and integers with one entry a line, as `files.write_json` writes it.
`doctag_offsets` tells where each entry's line begins and the last one ends, `doctag_norms` how long each vector is.
Artifacts made before there was a search for neighbours have neither; both are then computed when they are needed.
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
    """Some rows of a matrix, gathered a slice at a time: the matrix may be mapped and large."""

    matrix: npt.NDArray[Any]
    selected: npt.NDArray[np.intp]

    ndim = 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of an array."""
        return self.matrix.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return len(self.selected), self.matrix.shape[1]

    def __len__(self) -> int:
        return len(self.selected)

    def __getitem__(self, piece: slice) -> npt.NDArray[Any]:
        rows: npt.NDArray[Any] = self.matrix[self.selected[piece]]
        return rows


class Doctags(Sequence[Tag]):
    """The tags, in the order of `doctag_vectors`. ArtifactError once one is asked for that cannot be read."""

    def __init__(self, file: Path, count: int, offsets: npt.NDArray[np.int64] | None = None) -> None:
        """`file`: the `doctags.json` of so many tags; ArtifactError if it cannot be read. `offsets`: the artifact's."""
        self._file, self._count, self._given = file, count, offsets
        try:
            self._text = np.memmap(file, np.uint8, "r").view(np.ndarray)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{file}: cannot be read: {error}") from error

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Tag: ...
    @overload
    def __getitem__(self, place: slice) -> list[Tag]: ...

    def __getitem__(self, place: int | slice) -> Tag | list[Tag]:
        places = range(self._count)[place]
        return [self._read(i) for i in places] if isinstance(places, range) else self._read(places)

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Where each entry begins, and the last one ends; shape (tags + 1,)."""
        return self._line_offsets() if self._given is None else self._given

    def check(self) -> None:
        """ArtifactError unless each entry is a tag, where it should be. Takes time for each."""
        if not np.array_equal(self.offsets, self._line_offsets()):
            raise ArtifactError(f"{self._file.with_name('doctag_offsets.npy')}: does not cut {DOCTAGS} into its lines")
        for _ in self:
            pass

    def _line_offsets(self) -> npt.NDArray[np.int64]:
        # JSON's strings hold no line ends, they are escaped.
        text = self._text
        offsets = np.flatnonzero(text == ord("\n"))[:-1] + 1
        if len(offsets) != self._count + 1 or offsets[0] != 2 or text[offsets[-1] :].tobytes() != b"]\n":
            raise ArtifactError(f"{self._file}: must be a list of {self._count} entries, one a line")
        return offsets

    def _read(self, place: int) -> Tag:
        begin, end = self.offsets[place : place + 2].tolist()
        try:
            tag = json.loads(self._text[max(begin, 0) : max(end, 0)].tobytes().rstrip(b",\n"))
        except (ValueError, RecursionError):
            tag = None
        if type(tag) not in (str, int):
            raise ArtifactError(f"{self._file}: entry {place} is not a tag, which is a string or an integer")
        return tag  # type: ignore[no-any-return]


def row_norms(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The L2 length of each row of a matrix that may be mapped, shape (rows,)."""
    squares = (np.square(block, dtype=np.float64).sum(axis=1) for block in row_blocks(vectors))
    norms: npt.NDArray[np.float64] = np.sqrt(np.concatenate([np.empty(0), *squares]))
    return norms.astype(np.float32)
