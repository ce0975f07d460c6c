"""The methods of inference, each bound to a model: from the rows of documents' words to their vectors.

A method takes several documents, end to end in `words` with document n from `offsets[n]` to `offsets[n + 1]`, and
writes `vectors`, of shape (documents, padded vector_size). It hands the work to its kernel in portions, and asks `stop`
before each; once that says True, StoppedError is raised. What a document gets does not depend on the others.
"""

import math
from array import array
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import accumulate
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from .artifact import Artifact
from .draws import NO_NOISE, DrawTables, Noise, start_vector
from .kernels.interface import BLOCK, CONSTANTS, LANES, Structure, Workspace, address, kernel
from .options import InferenceOptions, Stop, padded, unless_stopped

Vectors = npt.NDArray[np.float32]
Rows: TypeAlias = "array[int]"
Offsets: TypeAlias = "array[int]"

_ARCHITECTURES = {"dbow": "DBOW", "dm_mean": "DM", "dm_sum": "DM", "dm_concat": "DM_CONCAT"}

# Multiply-adds between two looks at whether to stop: 10 to 30 ms of one core.
_PORTION = 10**8

# Multiply-adds of a call that is not worth letting other threads of the interpreter run meanwhile: some tenths of a
# millisecond.
_BRIEF = 3 * 10**6

# Tokens of the longest document for which the room to work in is kept.
_KEPT_ROOM = 1024

# What work that is stopped had not come to.
_END = "the vectors were done"

# Products with all rows that method map takes, as a rule.
_PRODUCTS = 20


class InferenceMethod(Protocol):
    """Infers the vectors of documents."""

    def __call__(
        self, words: Rows, offsets: Offsets, vectors: Vectors, options: InferenceOptions, stop: Stop, /
    ) -> None: ...

    def cost(self, tokens: int, options: InferenceOptions, /) -> int:
        """About how many multiply-adds so many tokens take."""


class Sgd:
    """gensim's stochastic gradient descent, see kernels/sgd.c."""

    def __init__(self, artifact: Artifact) -> None:
        algorithm, arrays = artifact.manifest.algorithm, artifact.arrays
        self._vector_size, size = algorithm.vector_size, padded(algorithm.vector_size)
        reduced = algorithm.mode in ("dm_mean", "dm_sum") and algorithm.shrink_windows
        null_word = artifact.vocabulary.row("\0") if algorithm.mode == "dm_concat" else None
        noise = Noise(arrays["cum_table"], arrays["noise_guide"]) if algorithm.negative else NO_NOISE
        self._draws = DrawTables(noise, algorithm.negative, algorithm.window if reduced else 1)
        self._model = Structure(
            "sgd_model",
            output=_output_layer(artifact),
            architecture=CONSTANTS[_ARCHITECTURES[algorithm.mode]],
            columns=size,
            # The rest of a row's cache line would be nothing but zeros.
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
        self._workspaces = _Workspaces("sgd_workspace_bytes", self._model)
        around = 0 if algorithm.mode == "dbow" else 2 * algorithm.window
        targets = algorithm.negative + 1 + artifact.longest_path + BLOCK
        self._cost = (targets * (algorithm.slots + 1) + around) * size

    def __call__(self, words: Rows, offsets: Offsets, vectors: Vectors, options: InferenceOptions, stop: Stop) -> None:
        """Move all vectors from the same start through all epochs."""
        vectors[:, : self._vector_size] = start_vector(options.seed, self._vector_size)
        alphas = _alphas(options.epochs, options.alpha, options.min_alpha)
        brief = self.cost(len(words), options) < _BRIEF
        for first, last, longest in _groups(offsets, options.epochs * self._cost):
            step = max(1, _PORTION // (max(1, offsets[last] - offsets[first]) * self._cost))
            for epoch in range(0, options.epochs, step):
                unless_stopped(stop, _END)
                end = min(epoch + step, options.epochs)
                draws = self._draws.tables(options.seed, epoch, end, longest)
                workspace = self._workspaces.take(longest)
                self._infer(
                    self._model.address,
                    draws.structure.address,
                    alphas.buffer_info()[0] + epoch * alphas.itemsize,
                    end - epoch,
                    *_documents(words, offsets, vectors, first, last),
                    workspace.address,
                    workspace.size,
                    brief=brief,
                )
                self._workspaces.give_back(workspace, longest)

    def cost(self, tokens: int, options: InferenceOptions) -> int:
        """By what a token takes in each epoch."""
        return tokens * options.epochs * self._cost


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
            output=_output_layer(artifact),
            columns=size,
            syn1neg=arrays.get("map_syn1neg"),
            syn1=arrays.get("map_syn1", arrays.get("syn1")),
            mean=mean,
            curvature=curvature,
            prior=np.full(padded(algorithm.vector_size, LANES), map_lambda, np.float32),
            basis=arrays.get("map_basis"),
        )
        self._infer = kernel("infer_map")
        self._workspaces = _Workspaces("map_workspace_bytes", self._model)

    def __call__(self, words: Rows, offsets: Offsets, vectors: Vectors, options: InferenceOptions, stop: Stop) -> None:
        """Solve for one document after the other."""
        brief = self.cost(len(words), options) < _BRIEF
        for first, last, longest in _groups(offsets, self._cost):
            unless_stopped(stop, _END)
            workspace = self._workspaces.take(longest)
            self._infer(
                self._model.address,
                *_documents(words, offsets, vectors, first, last),
                workspace.address,
                workspace.size,
                brief=brief,
            )
            self._workspaces.give_back(workspace, longest)

    def cost(self, tokens: int, _: InferenceOptions) -> int:
        """By what a token takes."""
        return tokens * self._cost


def _documents(
    words: Rows, offsets: Offsets, vectors: Vectors, first: int, last: int
) -> tuple[int, int, int, int, int]:
    """The documents from `first` to `last` as kernels take them: addresses and lengths."""
    ends = offsets.buffer_info()[0] + first * offsets.itemsize
    return *words.buffer_info(), ends, last - first + 1, address(vectors) + first * vectors.strides[0]


class _Workspaces:
    """Memory that kernels work in. That for documents of usual length is kept for the next call."""

    def __init__(self, size_of: str, model: Structure) -> None:
        """`size_of`: the kernel that says how many bytes documents of so many tokens need."""
        self._size_of, self._model = kernel(size_of), model
        self._free: list[Workspace] = []

    def take(self, longest: int) -> Workspace:
        """One that nobody else uses meanwhile, the one used last if it is free: most of it is in the cache then."""
        try:
            if longest <= _KEPT_ROOM:
                return self._free.pop()
        except IndexError:
            longest = _KEPT_ROOM
        return Workspace(self._size_of(self._model.address, longest))

    def give_back(self, workspace: Workspace, longest: int) -> None:
        """For the next call, unless it is large."""
        if longest <= _KEPT_ROOM:
            self._free.append(workspace)


def _groups(offsets: Offsets, cost: int) -> Iterator[tuple[int, int, int]]:
    """Cut a call into ranges of documents, of about a portion of work at `cost` a token; and the longest one's size."""
    first, longest = 0, 1
    for i in range(1, len(offsets)):
        longest = max(longest, offsets[i] - offsets[i - 1])
        if (offsets[i] - offsets[first]) * cost >= _PORTION or i == len(offsets) - 1:
            yield first, i, longest
            first, longest = i, 1


def _output_layer(artifact: Artifact) -> Structure:
    """What both methods' kernels know of the words: their paths through the tree, and how likely they are kept."""
    arrays, algorithm = artifact.arrays, artifact.manifest.algorithm
    return Structure(
        "output_layer",
        words=artifact.manifest.vocabulary_size,
        negative=algorithm.negative,
        hs=int(algorithm.hs),
        sample=int(algorithm.sample > 0),
        longest_path=artifact.longest_path,
        hs_offsets=arrays.get("hs_offsets"),
        hs_points=arrays.get("hs_points"),
        hs_codes=arrays.get("hs_codes"),
        sample_int=arrays.get("sample_int"),
    )


@lru_cache(maxsize=64)
def _alphas(epochs: int, alpha: float, min_alpha: float) -> "array[float]":
    """The learning rate of each epoch, falling in a line; subtracted step by step in double precision, as by gensim."""
    step = (alpha - min_alpha) / max(epochs - 1, 1)
    return array("f", accumulate([alpha] + [-step] * (epochs - 1)))


@cache
def _sigmoid_table() -> npt.NDArray[np.float32]:
    """gensim's EXP_TABLE: σ at 1000 points of [-6, 6), looked up at int((x + 6) * 83)."""
    points = ((np.float32(i / 1000 * 2) - 1) * 6 for i in range(1000))
    powers = np.array([math.exp(point) for point in points], np.float32)
    return powers / (powers + 1)
