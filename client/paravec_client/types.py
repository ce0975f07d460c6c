"""What goes into the client and comes out of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Literal

import numpy as np
import numpy.typing as npt

Document = str | Sequence[str]
"""A text, or a document's tokens."""

Vector = npt.NDArray[np.float32]

Query = str | Sequence[str] | Sequence[float] | Vector
"""What to look for: a text, its tokens, or a vector."""

File = str | PathLike[str]


@dataclass(frozen=True)
class Tls:
    """TLS, and whom to trust. The files are PEM, and are read when a client is made."""

    ca: File | None = None
    """Certificates of authorities that the server's certificate may go back to; None for those that gRPC brings."""
    cert: File | None = None
    """The client's own certificate, for a server that asks for one."""
    key: File | None = None
    """Its private key."""
    server_name: str | None = None
    """The name that the server's certificate must be for, if not the target's."""


@dataclass(frozen=True)
class ClientConfig:
    """How a client talks to its server."""

    target: str = "localhost:50051"
    """Where the server is, in gRPC's terms: host:port, dns:///name:port, unix:/path."""
    timeout: float = 30.0
    """Seconds that a call may take."""
    stream_timeout: float = 3600.0
    """Seconds that a stream may take, from its first document to its last vector."""
    tls: Tls | None = None
    """Tls() or Tls(ca="ca.pem") for TLS; None for plain text."""
    token: str | None = field(default=None, repr=False)
    """Bearer token that calls carry."""
    token_file: File | None = None
    """A file that holds it, read again when it changes."""
    insecure_token: bool = False
    """Send the token over plain text to another machine, too: where something else encrypts, a service mesh say."""


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


@dataclass(frozen=True)
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
    max_top_k: int
    """Neighbours of one query."""


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
