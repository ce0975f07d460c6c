"""What the methods of inference share: their protocol, portions of work, memory for kernels, the output layer.

A method is bound to a model. It takes several documents, end to end in `ids`, with document n from `ends[n]` to
`ends[n + 1]`, and writes `vectors`, of shape (documents, padded vector_size). It hands the work to its kernel in
portions and asks `stop` before each. The vector of a document does not depend on the others.
"""

from array import array
from collections.abc import Iterator
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..artifact import Artifact
from ..kernels.interface import Structure, Workspace, address, kernel
from ..options import InferenceOptions, Stop

Vectors = npt.NDArray[np.float32]
Ids: TypeAlias = "array[int]"
Offsets: TypeAlias = "array[int]"

PORTION = 10**8
"""Multiply-adds between two calls of `stop`: 10 to 30 ms of one core."""

SHORT = 3 * 10**6
"""Below so many multiply-adds, some tenths of a millisecond, a kernel keeps the GIL: to release it costs more."""

# Tokens of the longest document whose workspace is kept for the next call.
_KEPT_TOKENS = 1024


class InferenceMethod(Protocol):
    """Infers the vectors of documents."""

    def __call__(self, ids: Ids, ends: Offsets, vectors: Vectors, options: InferenceOptions, stop: Stop, /) -> None:
        """Write the documents' vectors; StoppedError once `stop` returns True."""

    def cost(self, tokens: int, options: InferenceOptions, /) -> int:
        """About how many multiply-adds so many tokens take."""


def documents_argument(
    ids: Ids, ends: Offsets, vectors: Vectors, first: int, last: int
) -> tuple[int, int, int, int, int]:
    """The documents [first, last) as a kernel takes them: addresses and lengths."""
    first_end = ends.buffer_info()[0] + first * ends.itemsize
    return *ids.buffer_info(), first_end, last - first + 1, address(vectors) + first * vectors.strides[0]


class ScratchPool:
    """Memory that kernels work in. That for documents of usual length is kept for the next call."""

    def __init__(self, size_of: str, model: Structure) -> None:
        """`size_of`: the kernel that says how many bytes documents of so many tokens need."""
        self._size_of, self._model = kernel(size_of), model
        self._free: list[Workspace] = []

    def take(self, longest: int) -> Workspace:
        """One that nobody else uses meanwhile, the one used last if it is free: most of it is in the cache then."""
        try:
            if longest <= _KEPT_TOKENS:
                return self._free.pop()
        except IndexError:
            longest = _KEPT_TOKENS
        return Workspace(self._size_of(self._model.address, longest))

    def give_back(self, workspace: Workspace, longest: int) -> None:
        """For the next call, unless it is large."""
        if longest <= _KEPT_TOKENS:
            self._free.append(workspace)


def portions(ends: Offsets, cost: int) -> Iterator[tuple[int, int, int]]:
    """Cut a call into ranges of documents, of about a portion of work at `cost` a token; and the longest one's size."""
    first, longest = 0, 1
    for i in range(1, len(ends)):
        longest = max(longest, ends[i] - ends[i - 1])
        if (ends[i] - ends[first]) * cost >= PORTION or i == len(ends) - 1:
            yield first, i, longest
            first, longest = i, 1


def output_layer(artifact: Artifact) -> Structure:
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
