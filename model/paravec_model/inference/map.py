"""Method map: the optimum of the model's own objective, see kernels/map.c."""

import numpy as np

from ..artifact import Artifact
from ..kernels.interface import LANES, Structure, kernel
from ..options import InferenceOptions, Stop, padded, raise_if_stopped
from .method import SHORT, Ids, Offsets, ScratchPool, Vectors, documents_argument, output_layer, portions

# Products with all rows that a document takes, on average.
_PRODUCTS = 20


class Map:
    """The optimum of the objective, see kernels/map.c."""

    def __init__(self, artifact: Artifact, map_lambda: float) -> None:
        algorithm, arrays = artifact.manifest.algorithm, artifact.arrays
        size = padded(algorithm.vector_size)
        self._cost = (1 + artifact.longest_path) * size * _PRODUCTS
        zeros, k = np.zeros(size, np.float32), np.float32(algorithm.negative)
        # Numbers that are too large become infinite here, and so do the vectors, of which the encoder tells.
        with np.errstate(over="ignore", invalid="ignore"):
            mean = k / 2 * arrays.get("map_mean", zeros)
            curvature = k / 4 * arrays.get("map_eigenvalues", zeros) + np.float32(map_lambda)
        self._model = Structure(
            "map_model",
            output=output_layer(artifact),
            columns=size,
            syn1neg=arrays.get("map_syn1neg"),
            syn1=arrays.get("map_syn1", arrays.get("syn1")),
            mean=mean,
            curvature=curvature,
            prior=np.full(padded(algorithm.vector_size, LANES), map_lambda, np.float32),
            basis=arrays.get("map_basis"),
        )
        self._infer = kernel("infer_map")
        self._scratch = ScratchPool("map_workspace_bytes", self._model)

    def __call__(self, ids: Ids, ends: Offsets, vectors: Vectors, options: InferenceOptions, stop: Stop) -> None:
        """Solve for one document after the other."""
        short = self.cost(len(ids), options) < SHORT
        for first, last, longest in portions(ends, self._cost):
            raise_if_stopped(stop)
            workspace = self._scratch.take(longest)
            self._infer(
                self._model.address,
                *documents_argument(ids, ends, vectors, first, last),
                workspace.address,
                workspace.size,
                hold_gil=short,
            )
            self._scratch.give_back(workspace, longest)

    def cost(self, tokens: int, _: InferenceOptions) -> int:
        """By what a token takes."""
        return tokens * self._cost
