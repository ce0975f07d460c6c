"""What goes into the client and comes out of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

Document = str | Sequence[str]
"""A text, or a document's tokens."""

Vector = npt.NDArray[np.float32]

Query = str | Sequence[str] | Sequence[float] | Vector
"""What to look for: a text, its tokens, or a vector."""


@dataclass(frozen=True)
class InferenceOptions:
    """How to infer; what is None is left to the model's defaults (see `ModelInfo.defaults`).

    Attributes:
        method: sgd is gensim's algorithm, map the exact optimum; their vectors are not comparable.
        epochs: Passes over the document.
        alpha: Learning rate of the first pass, in (0, 1].
        min_alpha: Learning rate of the last pass, in [0, alpha].
        seed: Seed of all random draws.
        normalize: Scale vectors to unit L2 length.
        truncate: Embed the beginning of a document that is too long, instead of refusing it.
    """

    method: Literal["sgd", "map"] | None = None
    epochs: int | None = None
    alpha: float | None = None
    min_alpha: float | None = None
    seed: int | None = None
    normalize: bool | None = None
    truncate: bool | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Embedding:
    """The vector of one document, and what the model knew of it.

    Attributes:
        vector: float32 of shape (vector_size,).
        token_count: Tokens of the document.
        known_token_count: Tokens that the model's vocabulary has; with 0 the vector is zero.
        truncated: The document was longer than the server's limit, and its rest was not used.
        method: The method that made the vector, sgd or map; None if the server does not say.
    """

    vector: Vector
    token_count: int
    known_token_count: int
    truncated: bool
    method: str | None = None

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same numbers."""
        if not isinstance(other, Embedding):
            return NotImplemented
        return np.array_equal(self.vector, other.vector) and self._facts() == other._facts()

    # Its array can be written to.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        tokens, known, truncated, method = self._facts()
        return (f"Embedding(vector={_shape(self.vector)}, token_count={tokens}, known_token_count={known}, "
                f"truncated={truncated}, method={method!r})")  # fmt: skip

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Any:
        """The vector."""
        return np.array(self.vector, dtype, copy=copy)

    def _facts(self) -> tuple[Any, ...]:
        return self.token_count, self.known_token_count, self.truncated, self.method


@dataclass(frozen=True)
class ModelVersion:
    """Which model made an answer.

    Attributes:
        name: Its name.
        version: The version its maker gave it.
        digest: Identity of its content, sha256:...
    """

    name: str
    version: str
    digest: str


@dataclass(frozen=True, eq=False, repr=False)
class Embeddings(Sequence[Embedding]):
    """The vectors of n documents, in order, and what the model knew of each; also a sequence of `Embedding`.

    Attributes:
        vectors: float32 of shape (n, vector_size).
        token_counts: Tokens of each document, (n,).
        known_token_counts: Tokens of each that the model's vocabulary has, (n,); with 0 the vector is zero.
        truncated: Which documents were longer than the server's limit, their rest not used, (n,).
        model: The model that made them all.
        method: The method that made them, sgd or map; None if the server does not say.
    """

    vectors: Vector
    token_counts: npt.NDArray[np.int64]
    known_token_counts: npt.NDArray[np.int64]
    truncated: npt.NDArray[np.bool_]
    model: ModelVersion
    method: str | None = None

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same numbers, of the same model."""
        if not isinstance(other, Embeddings):
            return NotImplemented
        pairs = zip(self._arrays(), other._arrays(), strict=True)
        return (self.model, self.method) == (other.model, other.method) and all(np.array_equal(*pair) for pair in pairs)

    # Its arrays can be written to.
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
        """One document's embedding, or those of a slice; the vectors are views."""
        vectors, tokens, known, cut = self._arrays()
        if isinstance(index, slice):
            return Embeddings(vectors[index], tokens[index], known[index], cut[index], self.model, self.method)
        return Embedding(vectors[index], int(tokens[index]), int(known[index]), bool(cut[index]), self.method)

    def __iter__(self) -> Iterator[Embedding]:
        """The embedding of each document."""
        counts = (self.token_counts.tolist(), self.known_token_counts.tolist(), self.truncated.tolist())
        return map(Embedding, self.vectors, *counts, repeat(self.method))


def _shape(array: Vector) -> str:
    """An array's type and shape; its numbers would fill the page."""
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"


@dataclass(frozen=True)
class Neighbour:
    """A training document near to a query.

    Attributes:
        tag: The tag that it was trained with.
        cosine: Cosine of the angle between its vector and the query's, -1 to 1.
    """

    tag: str | int
    cosine: float


@dataclass(frozen=True)
class Similar:
    """The training documents nearest to one query, and what the model knew of it.

    Attributes:
        neighbours: The nearest first; none if the query's vector is zero.
        token_count: Tokens of the query; 0 for a vector.
        known_token_count: Tokens that the model's vocabulary has; with 0 there are no neighbours, unless the query is a
            vector.
        truncated: The query was longer than the server's limit, and its rest was not used.
        method: The method that inferred the vectors of texts and tokens; None if the server does not say.
    """

    neighbours: tuple[Neighbour, ...]
    token_count: int
    known_token_count: int
    truncated: bool
    method: str | None = None


@dataclass(frozen=True)
class Limits:
    """What the server accepts in one call.

    Attributes:
        max_documents: Documents, or queries.
        max_tokens: Tokens of one document.
        max_epochs: Epochs that may be asked for.
        max_message_bytes: Bytes of one request.
        max_top_k: Neighbours of one query; 0 for a server that finds none.
    """

    max_documents: int
    max_tokens: int
    max_epochs: int
    max_message_bytes: int
    max_top_k: int = 0


@dataclass(frozen=True)
class ModelInfo:
    """The model that a server holds.

    Attributes:
        name: Its name.
        version: The version its maker gave it.
        digest: Identity of its content, sha256:...
        algorithm: dbow, dm_mean, dm_sum or dm_concat.
        vector_size: Numbers in a vector.
        vocabulary_size: Words that it knows.
        negative: Noise words of negative sampling, 0 if it does without.
        hierarchical_softmax: Whether it has a hierarchical softmax.
        methods: Methods that it can be used with.
        defaults: Options that take effect when left None.
        limits: What the server accepts.
        tokenizer: How the server tokenizes text.
        document_count: Training documents that it carries, for `find_similar`; 0 if none.
    """

    name: str
    version: str
    digest: str
    algorithm: str
    vector_size: int
    vocabulary_size: int
    negative: int
    hierarchical_softmax: bool
    methods: tuple[str, ...]
    defaults: InferenceOptions
    limits: Limits
    tokenizer: dict[str, str | int | bool]
    document_count: int

    @property
    def identity(self) -> ModelVersion:
        """Which model it is, as answers name it."""
        return ModelVersion(self.name, self.version, self.digest)
