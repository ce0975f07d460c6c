"""The methods of inference, each bound to a model: from the rows of documents' words to their vectors.

A method takes several documents, end to end in `words` with document n from `offsets[n]` to `offsets[n + 1]`, and
writes `vectors`, of shape (documents, padded vector_size). It hands the work to its kernel in portions, and asks `stop`
before each; once that says True, StoppedError is raised. What a document gets does not depend on the others.
"""

from array import array
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import accumulate
from math import prod
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from .artifact import Artifact
from .compiled import BLOCK, LANES, Shared, kernel
from .draws import NO_NOISE, DrawTables, Noise, start_vector
from .options import ROW_ALIGNMENT, InferenceOptions, Stop, padded, unless_stopped

Array = npt.NDArray[Any]
Vectors = npt.NDArray[np.float32]
Rows: TypeAlias = "array[int]"
Offsets: TypeAlias = "array[int]"

_KERNELS = {"dbow": "dbow", "dm_mean": "dm", "dm_sum": "dm", "dm_concat": "dm_concat"}

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
    """gensim's stochastic gradient descent."""

    def __init__(self, artifact: Artifact) -> None:
        algorithm, arrays = artifact.manifest.algorithm, artifact.arrays
        self._vector_size, self._size, self._slots = (
            algorithm.vector_size,
            padded(algorithm.vector_size),
            algorithm.slots,
        )
        reduced = algorithm.mode in ("dm_mean", "dm_sum") and algorithm.shrink_windows
        null_word = artifact.vocabulary.row("\0") if algorithm.mode == "dm_concat" else None
        noise = Noise(arrays["cum_table"], arrays["noise_guide"]) if algorithm.negative else NO_NOISE
        self._draws = DrawTables(noise, algorithm.negative, algorithm.window if reduced else 1)
        self._width = algorithm.negative + 1 + _longest_path(artifact) + BLOCK
        self._kernel = kernel(
            _KERNELS[algorithm.mode],
            algorithm.negative,
            arrays.get("syn1neg", _NO_ROWS),
            int(algorithm.hs),
            arrays.get("syn1", _NO_ROWS),
            *_words_of(artifact),
            arrays.get("word_vectors", _NO_ROWS),
            algorithm.window,
            int(algorithm.mode == "dm_mean"),
            null_word or 0,
            self._width,
            # The rest of a row's cache line would be nothing but zeros.
            padded(algorithm.vector_size, LANES),
        )
        self._tree, self._window = algorithm.hs, algorithm.window
        self._rooms = _Rooms(self._make_room)
        around = 0 if algorithm.mode == "dbow" else 2 * algorithm.window
        self._cost = (self._width * (algorithm.slots + 1) + around) * self._size

    def __call__(self, words: Rows, offsets: Offsets, vectors: Vectors, options: InferenceOptions, stop: Stop) -> None:
        """Move all vectors from the same start through all epochs."""
        vectors[:, : self._vector_size] = start_vector(options.seed, self._vector_size)
        alphas = _alphas(options.epochs, options.alpha, options.min_alpha)
        for first, last, longest in _groups(offsets, options.epochs * self._cost):
            step = max(1, _PORTION // (max(1, offsets[last] - offsets[first]) * self._cost))
            for epoch in range(0, options.epochs, step):
                unless_stopped(stop, _END)
                end = min(epoch + step, options.epochs)
                draws = self._draws.tables(options.seed, epoch, end, longest)
                rates = alphas if end - epoch == options.epochs else alphas.array[epoch:end]
                part = words, offsets[first : last + 1], vectors[first:last]
                room = self._rooms.take(longest)
                self._kernel(*part, rates, *draws.shared, *room, brief=self.cost(len(words), options) < _BRIEF)
                self._rooms.give_back(room, longest)

    def cost(self, tokens: int, options: InferenceOptions) -> int:
        """By what a token takes in each epoch."""
        return tokens * options.epochs * self._cost

    def _make_room(self, longest: int) -> tuple[Array, ...]:
        targets = longest * self._width if self._tree else self._width
        return (
            _aligned((2 + self._slots) * self._size + self._width + targets),
            np.empty(2 * self._window + targets + BLOCK, np.int64),
            np.empty((3, longest), np.int64),
        )


class Map:
    """The optimum of the objective, see `solver`."""

    def __init__(self, artifact: Artifact, map_lambda: float) -> None:
        algorithm, arrays = artifact.manifest.algorithm, artifact.arrays
        self._size, self._terms = padded(algorithm.vector_size), 1 + _longest_path(artifact)
        self._cost = self._terms * self._size * _PRODUCTS
        self._nodes = max(1, len(arrays.get("syn1", _NO_ROWS)))
        self._rooms = _Rooms(self._make_room)
        zeros, k = np.zeros(self._size, np.float32), np.float32(algorithm.negative)
        self._kernel = kernel(
            "solve",
            algorithm.negative,
            arrays.get("map_syn1neg", _NO_ROWS),
            k / 2 * arrays.get("map_mean", zeros),
            k / 4 * arrays.get("map_eigenvalues", zeros) + np.float32(map_lambda),
            arrays.get("map_basis", _NO_ROWS),
            int(algorithm.hs),
            arrays.get("map_syn1", arrays.get("syn1", _NO_ROWS)),
            *_words_of(artifact),
            np.full(padded(algorithm.vector_size, LANES), map_lambda, np.float32),
        )

    def __call__(self, words: Rows, offsets: Offsets, vectors: Vectors, options: InferenceOptions, stop: Stop) -> None:
        """Solve for one document after the other."""
        for first, last, longest in _groups(offsets, self._cost):
            unless_stopped(stop, _END)
            part = words, offsets[first : last + 1], vectors[first:last]
            room = self._rooms.take(longest)
            self._kernel(*part, *room, brief=self.cost(len(words), options) < _BRIEF)
            self._rooms.give_back(room, longest)

    def cost(self, tokens: int, _: InferenceOptions) -> int:
        """By what a token takes."""
        return tokens * self._cost

    def _make_room(self, longest: int) -> tuple[Array, ...]:
        terms = longest * self._terms + LANES
        return (
            _aligned(7, self._size),
            _aligned(6, terms),
            np.empty(terms, np.int64),
            np.empty(longest, np.uint32),
            np.zeros(self._nodes, np.uint32),
        )


def _aligned(*shape: int) -> Array:
    """Zeros that begin with a cache line. NumPy's begin anywhere, and what straddles two lines takes twice as long."""
    room = np.zeros(prod(shape) + ROW_ALIGNMENT, np.float32)
    first = -room.ctypes.data // 4 % ROW_ALIGNMENT
    return room[first : first + prod(shape)].reshape(shape)


class _Rooms:
    """Arrays that a kernel works in, for documents of so many tokens. Small ones are kept for the next call."""

    def __init__(self, make: Callable[[int], tuple[Array, ...]]) -> None:
        self._make = make
        self._free: list[tuple[Shared, ...]] = []

    def take(self, longest: int) -> tuple[Shared, ...]:
        """One that nobody else uses meanwhile, the one used last if it is free: most of it is in the cache then."""
        try:
            if longest <= _KEPT_ROOM:
                return self._free.pop()
        except IndexError:
            longest = _KEPT_ROOM
        return tuple(map(Shared, self._make(longest)))

    def give_back(self, room: tuple[Shared, ...], longest: int) -> None:
        """For the next call, unless it is large."""
        if longest <= _KEPT_ROOM:
            self._free.append(room)


def _groups(offsets: Offsets, cost: int) -> Iterator[tuple[int, int, int]]:
    """Cut a call into ranges of documents, of about a portion of work at `cost` a token; and the longest one's size."""
    first, longest = 0, 1
    for i in range(1, len(offsets)):
        longest = max(longest, offsets[i] - offsets[i - 1])
        if (offsets[i] - offsets[first]) * cost >= _PORTION or i == len(offsets) - 1:
            yield first, i, longest
            first, longest = i, 1


def _nothing(shape: int | tuple[int, int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """In place of an array that the model has not; read-only as those are, so that one compiled kernel serves both."""
    nothing = np.empty(shape, dtype)
    nothing.flags.writeable = False
    return nothing


_NO_ROWS, _NO_WORDS = _nothing((0, 0), np.float32), _nothing(0, np.uint32)


def _words_of(artifact: Artifact) -> tuple[Any, ...]:
    """What kernels know of the words: their paths through the tree, and how likely they are kept."""
    arrays = artifact.arrays
    return (
        arrays.get("hs_offsets", _nothing(0, np.int64)),
        arrays.get("hs_points", _NO_WORDS),
        arrays.get("hs_codes", _nothing(0, np.uint8)),
        int(artifact.manifest.algorithm.sample > 0),
        arrays.get("sample_int", _NO_WORDS),
    )


def _longest_path(artifact: Artifact) -> int:
    """Nodes above a word of the tree, at most; 0 if there is no tree."""
    return int(np.diff(artifact.arrays["hs_offsets"]).max()) if artifact.manifest.algorithm.hs else 0


@lru_cache(maxsize=64)
def _alphas(epochs: int, alpha: float, min_alpha: float) -> Shared:
    """The learning rate of each epoch, falling in a line; subtracted step by step in double precision, as by gensim."""
    step = (alpha - min_alpha) / max(epochs - 1, 1)
    return Shared(np.array(list(accumulate([alpha] + [-step] * (epochs - 1))), np.float64).astype(np.float32))
