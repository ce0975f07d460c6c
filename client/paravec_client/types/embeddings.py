"""Documents, and the vectors that the server infers for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from .model import ModelVersion

Document = str | Sequence[str]
"""A text, or a list of tokens."""

Vector = npt.NDArray[np.float32]
"""One vector, (vector_size,), or several, (n, vector_size)."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Embedding:
    """The vector of one document, with its token counts.

    Attributes:
        vector: float32 of shape (vector_size,).
        token_count: Tokens in the document, before truncation.
        known_token_count: Tokens, after truncation, in the model's vocabulary. If this is 0, the vector is zero.
        truncated: True if the document had more than `Limits.max_tokens` tokens and only the first were used.
        method: Inference method, sgd or map; None if the server does not report it.
    """

    vector: Vector
    token_count: int
    known_token_count: int
    truncated: bool
    method: str | None = None

    def __eq__(self, other: object) -> bool:
        """Equal vector, counts and method."""
        if not isinstance(other, Embedding):
            return NotImplemented
        return np.array_equal(self.vector, other.vector) and self._metadata() == other._metadata()

    # The array is mutable.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        tokens, known, truncated, method = self._metadata()
        return (f"Embedding(vector={_shape(self.vector)}, token_count={tokens}, known_token_count={known}, "
                f"truncated={truncated}, method={method!r})")  # fmt: skip

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Any:
        """The vector."""
        return np.array(self.vector, dtype, copy=copy)

    def _metadata(self) -> tuple[Any, ...]:
        return self.token_count, self.known_token_count, self.truncated, self.method


@dataclass(frozen=True, eq=False, repr=False)
class Embeddings(Sequence[Embedding]):
    """The vectors of n documents, in order, with their token counts. Also a sequence of `Embedding`.

    Attributes:
        vectors: float32 of shape (n, vector_size).
        token_counts: Tokens in each document, before truncation, int64 of shape (n,).
        known_token_counts: Tokens of each, after truncation, that are in the model's vocabulary, int64 of shape (n,).
            Where this is 0, the vector is zero.
        truncated: Whether a document had more than `Limits.max_tokens` tokens and only the first were used, bool of
            shape (n,).
        model: The model that made all the vectors.
        method: Inference method, sgd or map; None if the server does not report it.
    """

    vectors: Vector
    token_counts: npt.NDArray[np.int64]
    known_token_counts: npt.NDArray[np.int64]
    truncated: npt.NDArray[np.bool_]
    model: ModelVersion
    method: str | None = None

    def __eq__(self, other: object) -> bool:
        """Equal vectors, counts, model and method."""
        if not isinstance(other, Embeddings):
            return NotImplemented
        pairs = zip(self._arrays(), other._arrays(), strict=True)
        return (self.model, self.method) == (other.model, other.method) and all(np.array_equal(*pair) for pair in pairs)

    # The arrays are mutable.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        model = f"{self.model.name} {self.model.version}"
        return f"Embeddings(vectors={_shape(self.vectors)}, model={model!r}, method={self.method!r})"

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Any:
        """The vectors."""
        return np.array(self.vectors, dtype, copy=copy)

    def _arrays(self) -> tuple[npt.NDArray[Any], ...]:
        return self.vectors, self.token_counts, self.known_token_counts, self.truncated

    def __len__(self) -> int:
        """The number of documents."""
        return len(self.vectors)

    @overload
    def __getitem__(self, index: int) -> Embedding: ...
    @overload
    def __getitem__(self, index: slice) -> "Embeddings": ...

    def __getitem__(self, index: int | slice) -> "Embedding | Embeddings":
        """The embedding of one document, or those of a slice; vectors are views of `vectors`."""
        vectors, tokens, known, truncated = self._arrays()
        if isinstance(index, slice):
            return Embeddings(vectors[index], tokens[index], known[index], truncated[index], self.model, self.method)
        return Embedding(vectors[index], int(tokens[index]), int(known[index]), bool(truncated[index]), self.method)

    def __iter__(self) -> Iterator[Embedding]:
        """The embedding of each document, in order."""
        counts = (self.token_counts.tolist(), self.known_token_counts.tolist(), self.truncated.tolist())
        return map(Embedding, self.vectors, *counts, repeat(self.method))


def _shape(array: Vector) -> str:
    """The dtype and shape of an array, for a short repr."""
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"
