"""The arrays that method map needs for a model with negative sampling, computed once, when the artifact is written.

With p the noise distribution and v_w the output rows: μ = Σ p_w v_w and C = Σ p_w v_w v_wᵀ = QΛQᵀ. Rows and μ are
stored in the basis Q, in which C is diagonal; multiplying by Q turns the solution back.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConversionError
from ..options import padded

Array = npt.NDArray[Any]

MAX_VECTOR_SIZE = 2048
"""Models of more dimensions have no method map: the basis would be larger than the model."""

_BLOCK_ROWS = 16_384


@dataclass(frozen=True)
class RotatedRows:
    """The rows of a matrix in another basis, computed slice by slice when they are read."""

    rows: Array
    basis: Array

    dtype = np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        """As numpy.ndarray.ndim."""
        return self.rows.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """As numpy.ndarray.shape."""
        return self.rows.shape

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, piece: slice) -> Array:
        return np.asarray(self.rows[piece].astype(np.float64) @ self.basis, np.float32)


def map_arrays(matrices: dict[str, Array]) -> dict[str, Any]:
    """The `map_*` arrays of `artifact.array_specs` for a model with negative sampling.

    `matrices`: the model's arrays by name, of which `syn1neg`, `cum_table` and `syn1` are read. Rows are returned
    unpadded, the basis and vectors padded.
    """
    rows, cumulative = matrices["syn1neg"], matrices["cum_table"].astype(np.float64)
    size = rows.shape[1]
    for name in ("syn1neg", "syn1"):
        if name in matrices and matrices[name].shape != (len(cumulative), size):
            raise ConversionError(
                f"{name}.npy: the model's array has shape {matrices[name].shape}, not {(len(cumulative), size)}"
            )
    noise = np.diff(cumulative, prepend=0.0) / cumulative[-1]
    mean, moment = np.zeros(size), np.zeros((size, size))
    for first in range(0, len(rows), _BLOCK_ROWS):
        block, weights = rows[first : first + _BLOCK_ROWS].astype(np.float64), noise[first : first + _BLOCK_ROWS]
        mean += weights @ block
        moment += (block * weights[:, None]).T @ block
    eigenvalues, basis = np.linalg.eigh(moment)
    # An eigenvector's sign is arbitrary; making its largest component positive gives the same bytes each time.
    basis *= np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(size)])
    rest = padded(size) - size
    arrays: dict[str, Any] = {
        "map_syn1neg": RotatedRows(rows, basis),
        "map_basis": np.pad(basis, (0, rest)),
        "map_eigenvalues": np.pad(eigenvalues.clip(0), (0, rest)),
        "map_mean": np.pad(mean @ basis, (0, rest)),
    }
    if "syn1" in matrices:
        arrays["map_syn1"] = RotatedRows(matrices["syn1"], basis)
    return arrays
