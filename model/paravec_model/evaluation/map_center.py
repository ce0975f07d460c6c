"""Method map with a center: the arrays that replace or join those of `convert.map_basis`.

Vectors of a corpus are not near 0: the length of their mean may be two thirds of their own. With a center, the noise
term is expanded around that mean m in place of 0, and the mean of the vectors that this gives is subtracted from each.
With x_w = v_w·m, the gradient of the noise term Σ p_w log σ(−v_w·d) at m is −g = −Σ p_w σ(x_w) v_w. Of its curvature,
the diagonal −h = −Σ p_w σ(x_w) σ(−x_w) v_w² in the basis of the rows is kept. The expansion

    −g·(d − m) − 1/2 (d − m)·diag(h) (d − m) = −(g − h m)·d − 1/2 d·diag(h) d + const

has the form of the one around 0, in which g − h m is μ/2 and h is Λ/4.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..encoder import Encoder
from ..options import InferenceOptions, padded
from ..text.token_ids import TokenIds

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
"""By their names in an artifact."""

_BLOCK_ROWS = 16_384


def centers(
    encoder: Encoder, sampling: Arrays, documents: TokenIds, map_lambda: float, candidates: Sequence[float]
) -> Iterator[tuple[float, Arrays]]:
    """Each candidate for λ with its arrays: `map_mean`, `map_eigenvalues` and `map_center`, for all documents' mean.

    `sampling`: `map_sample_int`, if it is not the artifact's. `map_lambda`: λ of the vectors to expand around.
    """

    def mean(map_lambda: float, arrays: Arrays) -> Array:
        other, options = encoder.with_map(map_lambda, sampling | arrays), InferenceOptions(method="map")
        return np.asarray(other.infer(documents, options).vectors.mean(axis=0, dtype=np.float64))

    expanded = expanded_around(mean(map_lambda, {}), encoder.artifact.arrays)
    for candidate in candidates:
        center = mean(candidate, expanded).astype(np.float32)
        yield candidate, expanded | {"map_center": np.pad(center, (0, padded(len(center)) - len(center)))}


def expanded_around(mean: Array, arrays: Arrays) -> Arrays:
    """`map_mean` and `map_eigenvalues` of the noise term expanded around `mean`, float32, padded as the artifact's.

    `mean`: shape (vector_size,). `arrays`: those of an artifact with negative sampling and method map.
    """
    rows, cumulative = arrays["map_syn1neg"], arrays["cum_table"].astype(np.float64)
    noise = np.diff(cumulative, prepend=0.0) / cumulative[-1]
    rotated = mean @ arrays["map_basis"][: len(mean)].astype(np.float64)
    slope, curvature = np.zeros(len(rotated)), np.zeros(len(rotated))
    for first in range(0, len(rows), _BLOCK_ROWS):
        block, weights = rows[first : first + _BLOCK_ROWS].astype(np.float64), noise[first : first + _BLOCK_ROWS]
        # 1 + tanh(x/2) is 2 σ(x), and 1 - tanh(x/2)² is 4 σ(x) σ(-x). They do not overflow.
        tanh = np.tanh(block @ rotated / 2)
        slope += (weights * (1 + tanh)) @ block
        curvature += (weights * (1 - tanh**2)) @ block**2
    return {
        "map_mean": np.asarray(slope - curvature * rotated / 2, np.float32),
        "map_eigenvalues": np.asarray(curvature, np.float32),
    }
