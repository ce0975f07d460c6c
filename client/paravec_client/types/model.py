"""The model that a server holds, its options and limits."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class InferenceOptions:
    """How the server infers vectors. None means the model's default, see `ModelInfo.defaults`.

    Attributes:
        method: sgd is gensim's algorithm, map is the exact optimum of its objective. Vectors of the two methods are not
            comparable.
        epochs: Passes over the document, 1 to `Limits.max_epochs`; sgd only.
        alpha: Learning rate of the first pass, in (0, 1]; sgd only.
        min_alpha: Learning rate of the last pass, in [0, alpha]; sgd only.
        seed: Seed of the random draws, 0 to 2**64 - 1; sgd only.
        normalize: Scale vectors to unit L2 norm.
        truncate: Embed the first `Limits.max_tokens` tokens of a longer document instead of rejecting it.
    """

    method: Literal["sgd", "map"] | None = None
    epochs: int | None = None
    alpha: float | None = None
    min_alpha: float | None = None
    seed: int | None = None
    normalize: bool | None = None
    truncate: bool | None = None


@dataclass(frozen=True)
class ModelVersion:
    """The model that made a response.

    Attributes:
        name: The model's name.
        version: The version that its author gave it.
        digest: SHA-256 of its content: "sha256:" and 64 hexadecimal digits.
    """

    name: str
    version: str
    digest: str


@dataclass(frozen=True)
class Limits:
    """What the server accepts in one call.

    Attributes:
        max_documents: Documents, or queries.
        max_tokens: Tokens in one document.
        max_epochs: Value of `InferenceOptions.epochs`.
        max_message_bytes: Bytes in one request message.
        max_top_k: Neighbours of one query; 0 if the server does not support `find_similar`.
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
        name: The model's name.
        version: The version that its author gave it.
        digest: SHA-256 of its content: "sha256:" and 64 hexadecimal digits.
        algorithm: dbow, dm_mean, dm_sum or dm_concat.
        vector_size: Dimensions of a vector.
        vocabulary_size: Words in the vocabulary.
        negative: Noise words of negative sampling; 0 if the model has none.
        hierarchical_softmax: Whether the model has a hierarchical softmax.
        methods: Inference methods that the model supports.
        defaults: Values of options that a call leaves None.
        limits: What the server accepts in one call.
        tokenizer: How the server tokenizes text, by the field names of the contract's `Tokenizer`.
        document_count: Training documents that `find_similar` searches; 0 if the model has none.
        lexical_index: Whether the model has a lexical index, so that `find_similar` weighs words too.
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
    tokenizer: dict[str, str | int | bool | tuple[str, ...]]
    document_count: int
    lexical_index: bool = False

    @property
    def identity(self) -> ModelVersion:
        """Name, version and digest, as responses carry them."""
        return ModelVersion(self.name, self.version, self.digest)
