"""Method sgd: gensim's stochastic gradient descent. kernels/sgd.c has the loops."""

import math
from array import array
from functools import cache, lru_cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from ..artifact import Artifact
from ..artifact.noise import NO_NOISE, Noise
from ..kernels.interface import BLOCK, CONSTANTS, LANES, Structure, kernel
from ..options import InferenceOptions, Stop, padded, raise_if_stopped
from .method import (
    HOLD_GIL_MULTIPLY_ADDS,
    PORTION_MULTIPLY_ADDS,
    Ids,
    Offsets,
    Vectors,
    WorkspacePool,
    documents_argument,
    output_layer,
    portions,
)
from .random_tables import RandomTables, start_vector

_ARCHITECTURES = {"dbow": "DBOW", "dm_mean": "DM", "dm_sum": "DM", "dm_concat": "DM_CONCAT"}


class Sgd:
    """Runs gensim's stochastic gradient descent. Implements `InferenceMethod`."""

    def __init__(self, artifact: Artifact) -> None:
        algorithm, arrays = artifact.manifest.algorithm, artifact.arrays
        self._vector_size, size = algorithm.vector_size, padded(algorithm.vector_size)
        reduced = algorithm.mode in ("dm_mean", "dm_sum") and algorithm.shrink_windows
        null_word = artifact.vocabulary.id_of("\0") if algorithm.mode == "dm_concat" else None
        noise = Noise(arrays["cum_table"], arrays["noise_guide"]) if algorithm.negative else NO_NOISE
        self._random_tables = RandomTables(noise, algorithm.negative, algorithm.window if reduced else 1)
        self._model = Structure(
            "sgd_model",
            output=output_layer(artifact, artifact.arrays.get("sample_int")),
            architecture=CONSTANTS[_ARCHITECTURES[algorithm.mode]],
            columns=size,
            # The rest of a padded row is zeros.
            used_columns=padded(algorithm.vector_size, LANES),
            window=algorithm.window,
            mean=int(algorithm.mode == "dm_mean"),
            null_word=null_word or 0,
            sigmoid=_sigmoid_table(),
            syn1neg=arrays.get("syn1neg"),
            syn1=arrays.get("syn1"),
            word_vectors=arrays.get("word_vectors"),
        )
        self._infer = kernel("infer_sgd")
        self._workspaces = WorkspacePool("sgd_workspace_bytes", self._model)
        around = 0 if algorithm.mode == "dbow" else 2 * algorithm.window
        targets = algorithm.negative + 1 + artifact.longest_path + BLOCK
        self._cost = (targets * (algorithm.vectors_per_row + 1) + around) * size

    def __call__(self, ids: Ids, ends: Offsets, vectors: Vectors, options: InferenceOptions, stop: Stop) -> None:
        """Start all vectors at the same point and run all epochs. Many epochs are split into portions too."""
        vectors[:, : self._vector_size] = start_vector(options.seed, self._vector_size)
        alphas = _alphas(options.epochs, options.alpha, options.min_alpha)
        hold_gil = self.cost(len(ids), options) < HOLD_GIL_MULTIPLY_ADDS
        for first, last, longest in portions(ends, options.epochs * self._cost):
            step = max(1, PORTION_MULTIPLY_ADDS // (max(1, ends[last] - ends[first]) * self._cost))
            for epoch in range(0, options.epochs, step):
                raise_if_stopped(stop)
                end = min(epoch + step, options.epochs)
                draws = self._random_tables.draws(options.seed, epoch, end, longest)
                workspace = self._workspaces.take(longest)
                self._infer(
                    self._model.address,
                    draws.structure.address,
                    alphas.buffer_info()[0] + epoch * alphas.itemsize,
                    end - epoch,
                    *documents_argument(ids, ends, vectors, first, last),
                    workspace.address,
                    workspace.size,
                    hold_gil=hold_gil,
                )
                self._workspaces.give_back(workspace, longest)

    def cost(self, tokens: int, options: InferenceOptions) -> int:
        """Proportional to tokens and epochs."""
        return tokens * options.epochs * self._cost


@lru_cache(maxsize=64)
def _alphas(epochs: int, alpha: float, min_alpha: float) -> "array[float]":
    """The learning rate of each epoch, falling linearly. Like gensim, it subtracts step by step in double precision."""
    step = (alpha - min_alpha) / max(epochs - 1, 1)
    return array("f", accumulate([alpha] + [-step] * (epochs - 1)))


@cache
def _sigmoid_table() -> npt.NDArray[np.float32]:
    """gensim's EXP_TABLE: σ at 1000 points of [-6, 6), looked up at int((x + 6) * 83)."""
    points = ((np.float32(i / 1000 * 2) - 1) * 6 for i in range(1000))
    powers = np.array([math.exp(point) for point in points], np.float32)
    return powers / (powers + 1)
