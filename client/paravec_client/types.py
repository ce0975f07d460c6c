"""What goes into the client and comes out of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

Document = str | Sequence[str]
"""A text, or a document's tokens."""

Vector = npt.NDArray[np.float32]

Query = str | Sequence[str] | Sequence[float] | Vector
"""What to look for: a text, its tokens, or a vector."""


@dataclass(frozen=True)
class InferenceOptions:
    """How to infer; what is None is left to the model's defaults (see `ModelInfo.defaults`)."""

    method: Literal["sgd", "map"] | None = None
    """sgd is gensim's algorithm, map the exact optimum; their vectors are not comparable."""
    epochs: int | None = None
    """Passes over the document."""
    alpha: float | None = None
    """Learning rate of the first pass, in (0, 1]."""
    min_alpha: float | None = None
    """Learning rate of the last pass, in [0, alpha]."""
    seed: int | None = None
    """Seed of all random draws."""
    normalize: bool | None = None
    """Scale vectors to unit L2 length."""
    truncate: bool | None = None
    """Embed the beginning of a document that is too long, instead of refusing it."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """The vector of one document, and what the model knew of it."""

    vector: Vector
    """float32 of shape (vector_size,)."""
    token_count: int
    """Tokens of the document."""
    known_token_count: int
    """Tokens that the model's vocabulary has; with 0 the vector is zero."""
    truncated: bool
    """The document was longer than the server's limit, and its rest was not used."""


@dataclass(frozen=True)
class ModelVersion:
    """Which model made an answer."""

    name: str
    """Its name."""
    version: str
    """The version its maker gave it."""
    digest: str
    """Identity of its content, sha256:..."""


@dataclass(frozen=True, eq=False)
class Embeddings(Sequence[Embedding]):
    """The vectors of n documents, in order, and what the model knew of each; also a sequence of `Embedding`."""

    vectors: Vector
    """float32 of shape (n, vector_size)."""
    token_counts: npt.NDArray[np.int64]
    """Tokens of each document, (n,)."""
    known_token_counts: npt.NDArray[np.int64]
    """Tokens of each that the model's vocabulary has, (n,); with 0 the vector is zero."""
    truncated: npt.NDArray[np.bool_]
    """Which documents were longer than the server's limit, their rest not used, (n,)."""
    model: ModelVersion
    """The model that made them all."""

    def __len__(self) -> int:
        """The number of documents."""
        return len(self.vectors)

    @overload
    def __getitem__(self, index: int) -> Embedding: ...
    @overload
    def __getitem__(self, index: slice) -> "Embeddings": ...

    def __getitem__(self, index: int | slice) -> "Embedding | Embeddings":
        """One document's embedding, or those of a slice; the vectors are views."""
        vectors, tokens, known, cut = self.vectors, self.token_counts, self.known_token_counts, self.truncated
        if isinstance(index, slice):
            return Embeddings(vectors[index], tokens[index], known[index], cut[index], self.model)
        return Embedding(vectors[index], int(tokens[index]), int(known[index]), bool(cut[index]))

    def __iter__(self) -> Iterator[Embedding]:
        """The embedding of each document."""
        counts = (self.token_counts.tolist(), self.known_token_counts.tolist(), self.truncated.tolist())
        return map(Embedding, self.vectors, *counts)


@dataclass(frozen=True)
class Neighbour:
    """A training document near to a query."""

    tag: str | int
    """The tag that it was trained with."""
    cosine: float
    """Cosine of the angle between its vector and the query's, -1 to 1."""


@dataclass(frozen=True)
class Similar:
    """The training documents nearest to one query, and what the model knew of it."""

    neighbours: tuple[Neighbour, ...]
    """The nearest first; none if the query's vector is zero."""
    token_count: int
    """Tokens of the query; 0 for a vector."""
    known_token_count: int
    """Tokens that the model's vocabulary has; with 0 there are no neighbours, unless the query is a vector."""
    truncated: bool
    """The query was longer than the server's limit, and its rest was not used."""


@dataclass(frozen=True)
class Limits:
    """What the server accepts in one call."""

    max_documents: int
    """Documents, or queries."""
    max_tokens: int
    """Tokens of one document."""
    max_epochs: int
    """Epochs that may be asked for."""
    max_message_bytes: int
    """Bytes of one request."""
    max_top_k: int = 0
    """Neighbours of one query; 0 for a server that finds none."""


@dataclass(frozen=True)
class ModelInfo:
    """The model that a server holds."""

    name: str
    """Its name."""
    version: str
    """The version its maker gave it."""
    digest: str
    """Identity of its content, sha256:..."""
    algorithm: str
    """dbow, dm_mean, dm_sum or dm_concat."""
    vector_size: int
    """Numbers in a vector."""
    vocabulary_size: int
    """Words that it knows."""
    negative: int
    """Noise words of negative sampling, 0 if it does without."""
    hierarchical_softmax: bool
    """Whether it has a hierarchical softmax."""
    methods: tuple[str, ...]
    """Methods that it can be used with."""
    defaults: InferenceOptions
    """Options that take effect when left None."""
    limits: Limits
    """What the server accepts."""
    tokenizer: dict[str, str | int | bool]
    """How the server tokenizes text."""
    document_count: int
    """Training documents that it carries, for `find_similar`; 0 if none."""

    @property
    def identity(self) -> ModelVersion:
        """Which model it is, as answers name it."""
        return ModelVersion(self.name, self.version, self.digest)
