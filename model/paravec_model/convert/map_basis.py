"""What method map needs to know of a model with negative sampling beyond its rows; made once, when the artifact is.

With p the noise distribution and v_w the output rows: μ = Σ p_w v_w and C = Σ p_w v_w v_wᵀ = QΛQᵀ. Rows and μ are kept
in the basis Q, where C is diagonal; Q turns an answer back.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConversionError
from ..options import padded

Array = npt.NDArray[Any]

LARGEST = 2048
"""Dimensions beyond which the basis would be larger than most models; they have no method map."""

_ROWS = 16_384


@dataclass(frozen=True)
class Rotated:
    """The rows of a matrix in another basis, made piece by piece as they are asked for."""

    rows: Array
    basis: Array

    dtype = np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        """As of an array."""
        return self.rows.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return self.rows.shape

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, piece: slice) -> Array:
        return np.asarray(self.rows[piece].astype(np.float64) @ self.basis, np.float32)


def map_arrays(matrices: dict[str, Array]) -> dict[str, Any]:
    """The arrays `map_*` of `artifact.array_specs`, unpadded but for the basis, of a model with `syn1neg`."""
    rows, cumulative = matrices["syn1neg"], matrices["cum_table"].astype(np.float64)
    size = rows.shape[1]
    for name in ("syn1neg", "syn1"):
        if name in matrices and matrices[name].shape != (len(cumulative), size):
            raise ConversionError(
                f"{name}.npy: the model's array is of shape {matrices[name].shape}, not {(len(cumulative), size)}"
            )
    noise = np.diff(cumulative, prepend=0.0) / cumulative[-1]
    mean, moment = np.zeros(size), np.zeros((size, size))
    for first in range(0, len(rows), _ROWS):
        piece, weights = rows[first : first + _ROWS].astype(np.float64), noise[first : first + _ROWS]
        mean += weights @ piece
        moment += (piece * weights[:, None]).T @ piece
    eigenvalues, basis = np.linalg.eigh(moment)
    # An eigenvector's sign is nobody's choice; this makes it the same each time.
    basis *= np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(size)])
    rest = padded(size) - size
    arrays: dict[str, Any] = {
        "map_syn1neg": Rotated(rows, basis),
        "map_basis": np.pad(basis, (0, rest)),
        "map_eigenvalues": np.pad(eigenvalues.clip(0), (0, rest)),
        "map_mean": np.pad(mean @ basis, (0, rest)),
    }
    if "syn1" in matrices:
        arrays["map_syn1"] = Rotated(matrices["syn1"], basis)
    return arrays
