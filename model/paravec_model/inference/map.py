"""Method map: the optimum of the model's own objective. kernels/map.c has the formulas."""

from collections.abc import Mapping

import numpy as np

from ..artifact import Artifact
from ..kernels.interface import LANES, Array, Structure, kernel
from ..options import InferenceOptions, Stop, padded, raise_if_stopped
from .method import (
    HOLD_GIL_MULTIPLY_ADDS,
    Ids,
    Offsets,
    Vectors,
    WorkspacePool,
    documents_argument,
    output_layer,
    portions,
)

# Products with the rows of a document's words and tree nodes until the solver converges: 10 with negative sampling, 26
# with a hierarchical softmax. For estimates of cost.
_MEAN_PASSES = 20


class Map:
    """Finds the optimum of the objective for each document. Implements `InferenceMethod`."""

    def __init__(self, artifact: Artifact, map_lambda: float, others: Mapping[str, Array] | None = None) -> None:
        """`others`: arrays in place of the artifact's, by their names there, for comparing them."""
        algorithm, arrays = artifact.manifest.algorithm, {**artifact.arrays, **(others or {})}
        size = padded(algorithm.vector_size)
        sample_int = arrays.get("map_sample_int", arrays.get("sample_int"))
        self._center = arrays.get("map_center")
        self._cost = (1 + artifact.longest_path) * size * _MEAN_PASSES
        zeros, k = np.zeros(size, np.float32), np.float32(algorithm.negative)
        # Huge numbers overflow to infinity here and make the vectors infinite, which the encoder reports.
        with np.errstate(over="ignore", invalid="ignore"):
            mean = k / 2 * arrays.get("map_mean", zeros)
            curvature = k / 4 * arrays.get("map_eigenvalues", zeros) + np.float32(map_lambda)
        self._model = Structure(
            "map_model",
            output=output_layer(artifact, sample_int),
            columns=size,
            syn1neg=arrays.get("map_syn1neg"),
            syn1=arrays.get("map_syn1", arrays.get("syn1")),
            mean=mean,
            curvature=curvature,
            prior=np.full(padded(algorithm.vector_size, LANES), map_lambda, np.float32),
            basis=arrays.get("map_basis"),
        )
        self._infer = kernel("infer_map")
        self._workspaces = WorkspacePool("map_workspace_bytes", self._model)

    def __call__(self, ids: Ids, ends: Offsets, vectors: Vectors, options: InferenceOptions, stop: Stop) -> None:
        """Solve for each document on its own, and subtract the center, which is the mean of a corpus's solutions."""
        hold_gil = self.cost(len(ids), options) < HOLD_GIL_MULTIPLY_ADDS
        for first, last, longest in portions(ends, self._cost):
            raise_if_stopped(stop)
            workspace = self._workspaces.take(longest)
            self._infer(
                self._model.address,
                *documents_argument(ids, ends, vectors, first, last),
                workspace.address,
                workspace.size,
                hold_gil=hold_gil,
            )
            self._workspaces.give_back(workspace, longest)
        if self._center is not None:
            # Infinite vectors of a damaged model are reported by the encoder.
            with np.errstate(over="ignore", invalid="ignore"):
                vectors -= self._center

    def cost(self, tokens: int, _: InferenceOptions) -> int:
        """Proportional to the number of tokens."""
        return tokens * self._cost
