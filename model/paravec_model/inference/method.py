"""What the methods of inference share: their protocol, portions of work, workspaces of kernels, the output layer.

A method belongs to one model. It takes several documents end to end in `ids`, document n from `ends[n]` to
`ends[n + 1]`, and writes their vectors. It passes the work to its kernel in portions and calls `stop` before each.
"""

from array import array
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..artifact import Artifact
from ..kernels.interface import Array, Structure, Workspace, address, kernel
from ..options import InferenceOptions, Stop

Vectors = npt.NDArray[np.float32]
Ids: TypeAlias = "array[int]"
Offsets: TypeAlias = "array[int]"

PORTION_MULTIPLY_ADDS = 10**8
"""Multiply-adds between two calls of `stop`: 10 to 30 ms on one core."""

HOLD_GIL_MULTIPLY_ADDS = 3 * 10**6
"""Kernels keep the GIL for less work, up to 0.6 ms: to get it back can take longer than the work."""

# Workspaces for documents of at most this many tokens are kept for the next call.
_KEPT_TOKENS = 1024


class InferenceMethod(Protocol):
    """Infers the vectors of documents with one model."""

    def __call__(self, ids: Ids, ends: Offsets, vectors: Vectors, options: InferenceOptions, stop: Stop, /) -> None:
        """Write `vectors`, float32 of shape (documents, padded vector_size); StoppedError once `stop` returns True.

        The vector of a document does not depend on the other documents.
        """

    def cost(self, tokens: int, options: InferenceOptions, /) -> int:
        """Estimated multiply-adds for `tokens` tokens."""


def documents_argument(
    ids: Ids, ends: Offsets, vectors: Vectors, first: int, last: int
) -> tuple[int, int, int, int, int]:
    """The documents [first, last) as arguments of a kernel: addresses and lengths."""
    first_end = ends.buffer_info()[0] + first * ends.itemsize
    return *ids.buffer_info(), first_end, last - first + 1, address(vectors) + first * vectors.strides[0]


class WorkspacePool:
    """Keeps the workspaces of kernels between calls, one for each call at the same time."""

    def __init__(self, size_of: str, model: Structure) -> None:
        """`size_of`: name of the kernel that returns the bytes for a document of given length."""
        self._size_of, self._model = kernel(size_of), model
        self._free: list[Workspace] = []

    def take(self, longest: int) -> Workspace:
        """A workspace for documents of up to `longest` tokens. The last used is most likely in the CPU's cache."""
        try:
            if longest <= _KEPT_TOKENS:
                return self._free.pop()
        except IndexError:
            longest = _KEPT_TOKENS
        return Workspace(self._size_of(self._model.address, longest))

    def give_back(self, workspace: Workspace, longest: int) -> None:
        """Return a workspace that was taken for `longest` tokens. Large ones are freed."""
        if longest <= _KEPT_TOKENS:
            self._free.append(workspace)


def portions(ends: Offsets, cost: int) -> list[tuple[int, int, int]]:
    """Split documents into ranges of about one portion of work.

    `cost`: multiply-adds for a token. Returns for each range the first and last document, last excluded, and the tokens
    of the longest one.
    """
    ranges, first, longest = [], 0, 1
    for i in range(1, len(ends)):
        longest = max(longest, ends[i] - ends[i - 1])
        if (ends[i] - ends[first]) * cost >= PORTION_MULTIPLY_ADDS or i == len(ends) - 1:
            ranges.append((first, i, longest))
            first, longest = i, 1
    return ranges


def output_layer(artifact: Artifact, sample_int: Array | None) -> Structure:
    """The output layer for the kernels of both methods: Huffman paths and sub-sampling of the words.

    `sample_int`: see `array_specs`; None for no sub-sampling.
    """
    arrays, algorithm = artifact.arrays, artifact.manifest.algorithm
    return Structure(
        "output_layer",
        words=artifact.manifest.vocabulary_size,
        negative=algorithm.negative,
        hs=int(algorithm.hs),
        sample=int(sample_int is not None),
        longest_path=artifact.longest_path,
        hs_offsets=arrays.get("hs_offsets"),
        hs_points=arrays.get("hs_points"),
        hs_codes=arrays.get("hs_codes"),
        sample_int=sample_int,
    )
