"""Text or tokens in, vectors out: the whole of inference, without any wire."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .artifact import Artifact
from .compiled import BLOCK, kernel
from .draws import DrawTables, Noise, start_vector
from .errors import StoppedError
from .options import InferenceOptions, padded

Vectors = npt.NDArray[np.float32]

_KERNELS = {"dbow": "dbow", "dm_mean": "dm", "dm_sum": "dm", "dm_concat": "dm_concat"}

# Multiply-adds between two looks at whether to stop: 10 to 30 ms of one core.
_PORTION = 10**8


@dataclass(frozen=True)
class Encoding:
    """Vectors of a call's documents."""

    vectors: Vectors
    """Shape (documents, vector_size). A document with no known token has a zero vector."""
    known_token_counts: list[int]
    """Tokens of each document that the vocabulary has."""


class Encoder:
    """Infers vectors with one artifact. Threads may share it: a call holds the GIL only to look words up.

    The vector of a document depends on the model, its tokens and the options, to the bit, and on nothing else: not on
    the documents beside it, on earlier calls, or on which thread, process or machine makes it (on CPUs of one level,
    see `compiled.cpu`).
    """

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.manifest = artifact.manifest
        self.tokenize = artifact.manifest.tokenizer
        algorithm, arrays = artifact.manifest.algorithm, artifact.arrays
        self._index = artifact.index
        self._size = padded(algorithm.vector_size)
        reduced = algorithm.mode in ("dm_mean", "dm_sum") and algorithm.shrink_windows
        self._draws = DrawTables(
            Noise.of(arrays.get("cum_table")), algorithm.negative, algorithm.window if reduced else 1
        )
        paths = np.diff(arrays["hs_offsets"]).max() if algorithm.hs else 0
        width = -(-max(algorithm.negative + 1, int(paths)) // BLOCK) * BLOCK
        rows, words = _nothing((0, 0), np.float32), _nothing(0, np.uint32)
        self._kernel = kernel(
            _KERNELS[algorithm.mode],
            algorithm.negative,
            arrays.get("syn1neg", rows),
            int(algorithm.hs),
            arrays.get("syn1", rows),
            arrays.get("hs_offsets", _nothing(0, np.int64)),
            arrays.get("hs_points", words),
            arrays.get("hs_codes", _nothing(0, np.uint8)),
            int(algorithm.sample > 0),
            arrays.get("sample_int", words),
            arrays.get("word_vectors", rows),
            algorithm.window,
            int(algorithm.mode == "dm_mean"),
            self._index.get("\0", 0),
            width,
        )
        self._width, self._slots = width, algorithm.slots
        self._cost = width * (algorithm.slots + 1) * self._size

    def warm(self) -> None:
        """Load or compile what this model needs, so that the first document does not wait for it."""
        options = InferenceOptions(epochs=1)
        self.encode([self.artifact.vocabulary[:1]], options)

    def encode(
        self,
        documents: Sequence[Sequence[str]],
        options: InferenceOptions | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Encoding:
        """Infer the vectors of tokenized documents.

        `options`: the manifest's defaults if None. `stop` is asked every few ten milliseconds of work; once it says
        True, StoppedError is raised.
        """
        options = options or self.manifest.defaults
        index, size = self._index, self.manifest.algorithm.vector_size
        words: list[int] = []
        ends = [0]
        for tokens in documents:
            words += [index[token] for token in tokens if token in index]
            ends.append(len(words))
        known = [end - begin for begin, end in pairwise(ends)]
        vectors = np.zeros((len(known), self._size), np.float32)
        vectors[:, :size] = start_vector(options.seed, size)
        self._infer(np.array(words, np.uint32), np.array(ends, np.int64), known, vectors, options, stop)
        vectors = vectors[:, :size]
        if 0 in known:
            vectors[[count == 0 for count in known]] = 0
        if options.normalize:
            lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
            vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0, casting="same_kind")
        return Encoding(vectors, known)

    def _infer(
        self,
        words: npt.NDArray[np.uint32],
        offsets: npt.NDArray[np.int64],
        sizes: list[int],
        vectors: Vectors,
        options: InferenceOptions,
        stop: Callable[[], bool],
    ) -> None:
        """Move the start vectors of a call's documents through all epochs, in portions of work."""
        alphas = _alphas(options.epochs, options.alpha, options.min_alpha)
        for first, last in self._groups(sizes, options.epochs):
            longest = max(1, *sizes[first:last])
            numbers = np.zeros(2 * self._width + (1 + self._slots) * self._size, np.float32)
            indices = np.zeros(self._width + longest, np.uint64)
            step = max(1, _PORTION // (max(1, int(offsets[last] - offsets[first])) * self._cost))
            for epoch in range(0, options.epochs, step):
                if stop():
                    raise StoppedError("stopped before the vectors were done")
                end = min(epoch + step, options.epochs)
                draws = self._draws.tables(options.seed, epoch, end, longest)
                self._kernel(
                    words, offsets[first : last + 1], vectors[first:last], alphas[epoch:end],
                    draws.raw, draws.noise, draws.windows, numbers, indices,
                )  # fmt: skip

    def _groups(self, sizes: Sequence[int], epochs: int) -> Iterator[tuple[int, int]]:
        """Cut a call's documents into ranges of about one portion of work."""
        first, work = 0, 0
        for i, size in enumerate(sizes):
            work += size * epochs * self._cost
            if work >= _PORTION:
                yield first, i + 1
                first, work = i + 1, 0
        if first < len(sizes):
            yield first, len(sizes)


def _nothing(shape: int | tuple[int, int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """In place of an array that the model has not; read-only as those are, so that one compiled kernel serves both."""
    nothing = np.empty(shape, dtype)
    nothing.flags.writeable = False
    return nothing


@lru_cache(maxsize=64)
def _alphas(epochs: int, alpha: float, min_alpha: float) -> Vectors:
    """The learning rate of each epoch, falling in a line; subtracted step by step in double precision, as by gensim."""
    step = (alpha - min_alpha) / max(epochs - 1, 1)
    return np.array(list(accumulate([alpha] + [-step] * (epochs - 1))), np.float64).astype(np.float32)
