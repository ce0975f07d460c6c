"""Method sgd in plain NumPy, one step of gensim's algorithm a line. Tests compare the kernels with it.

It shares no optimization with the kernels: sums are in double precision, noise words are found by bisection, and draws
are made one at a time.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from ..artifact import Artifact
from ..options import InferenceOptions
from .random_tables import epoch_seeds, start_vector, window_seeds

Floats = npt.NDArray[np.float64]


def infer(artifact: Artifact, tokens: Sequence[str], options: InferenceOptions) -> npt.NDArray[np.float32]:
    """The vector of one document, shape (vector_size,), not normalized."""
    model = _Model(artifact)
    ids = [model.index[t] for t in tokens if t in model.index]
    vector = start_vector(options.seed, model.vector_size).astype(np.float64)
    if not ids:
        return np.zeros(model.vector_size, np.float32)
    seeds, windows = epoch_seeds(options.seed, options.epochs), window_seeds(options.seed, options.epochs)
    for e, alpha in enumerate(np.linspace(options.alpha, options.min_alpha, options.epochs)):
        draws = _stream(int(seeds[e]))
        kept = [w for w in ids if not model.sample or model.sample_int[w] >= next(draws)]
        reduced = [w % model.window for w in islice(_stream(int(windows[e])), len(kept))]
        for i, word in enumerate(kept):
            vector = model.step(vector, kept, i, word, reduced[i], float(alpha), draws)
    return vector.astype(np.float32)


def _stream(state: int) -> Iterator[int]:
    """gensim's random_int32: the upper 32 bits of a 48-bit linear congruential generator (java.util.Random's)."""
    while True:
        yield state >> 16
        state = (state * 25214903917 + 11) % 2**48


class _Model:
    def __init__(self, artifact: Artifact) -> None:
        algorithm, self.arrays = artifact.manifest.algorithm, artifact.arrays
        self.mode, self.vector_size, self.negative = algorithm.mode, algorithm.vector_size, algorithm.negative
        self.hs, self.sample, self.window = algorithm.hs, algorithm.sample > 0, algorithm.window
        self.shrink_windows = algorithm.shrink_windows
        self.vectors_per_row = algorithm.vectors_per_row
        self.sample_int = self.arrays.get("sample_int", np.empty(0))
        self.index = {word: row for row, word in enumerate(artifact.vocabulary)}
        self.null_word = self.index.get("\0", 0)

    def row(self, matrix: str, index: int) -> Floats:
        """A row of a matrix without its padding."""
        vectors_per_row = 1 if matrix == "word_vectors" else self.vectors_per_row
        vectors = self.arrays[matrix][index].reshape(vectors_per_row, -1)[:, : self.vector_size]
        return np.asarray(vectors.reshape(-1), np.float64)

    def step(
        self, vector: Floats, kept: list[int], i: int, word: int, reduced: int, alpha: float, draws: Iterator[int]
    ) -> Floats:
        """One word of one epoch. Returns the document's new vector."""
        if self.mode == "dbow":
            for gradient in (self._hierarchical, self._negative):
                vector = vector + gradient(word, vector, alpha, draws)
            return vector
        if self.mode == "dm_concat":
            around = [m for m in range(i - self.window, i + self.window + 1) if m != i]
            context = [kept[m] if 0 <= m < len(kept) else self.null_word for m in around]
            hidden = np.concatenate([vector, *(self.row("word_vectors", w) for w in context)])
            share = 1.0
        else:
            reach = self.window - (reduced if self.shrink_windows else 0)
            context = kept[max(0, i - reach) : i] + kept[i + 1 : i + reach + 1]
            hidden = vector + sum((self.row("word_vectors", w) for w in context), np.zeros(self.vector_size))
            share = 1 / (len(context) + 1)
            if self.mode == "dm_mean":
                hidden, share = hidden * share, 1.0
        update = self._hierarchical(word, hidden, alpha, draws) + self._negative(word, hidden, alpha, draws)
        return vector + share * update[: self.vector_size]

    def _hierarchical(self, word: int, hidden: Floats, alpha: float, _draws: Iterator[int]) -> Floats:
        if not self.hs:
            return np.zeros(len(hidden))
        path = slice(*self.arrays["hs_offsets"][word : word + 2])
        nodes = zip(self.arrays["hs_points"][path], self.arrays["hs_codes"][path], strict=True)
        return self._gradient("syn1", hidden, alpha, [(int(point), 1 - int(code)) for point, code in nodes])

    def _negative(self, word: int, hidden: Floats, alpha: float, draws: Iterator[int]) -> Floats:
        if not self.negative:
            return np.zeros(len(hidden))
        table = self.arrays["cum_table"]
        noise = [int(np.searchsorted(table, draw % int(table[-1]))) for draw in islice(draws, self.negative)]
        return self._gradient("syn1neg", hidden, alpha, [(word, 1), *((n, 0) for n in noise if n != word)])

    def _gradient(self, matrix: str, hidden: Floats, alpha: float, targets: list[tuple[int, int]]) -> Floats:
        update = np.zeros(len(hidden))
        for index, label in targets:
            row = self.row(matrix, index)
            dot = float(hidden @ row)
            if -6 < dot < 6:
                update += alpha * (label - _sigmoid(dot)) * row
        return update


def _sigmoid(x: float) -> float:
    """σ as gensim computes it: from the nearest lower of 1000 points (its EXP_TABLE and index)."""
    point = (int((x + 6) * 83) / 1000 * 2 - 1) * 6
    return float(1 / (1 + np.exp(-point)))
