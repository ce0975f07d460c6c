"""Client of paravec: text in, Doc2Vec vectors out."""

from .aio import AsyncEmbeddingClient
from .client import EmbeddingClient
from .config import Batch, ClientConfig, Keepalive, Retry, Tls
from .errors import (
    CancelledError,
    ConfigError,
    DeadlineError,
    FieldViolation,
    ForkedError,
    InvalidArgumentError,
    ModelChangedError,
    OverloadedError,
    ParavecError,
    ServerError,
    UnauthenticatedError,
    UnavailableError,
)
from .types import Document, Embedding, Embeddings, InferenceOptions, Limits, ModelInfo, ModelVersion, Vector

__all__ = [
    "AsyncEmbeddingClient",
    "Batch",
    "CancelledError",
    "ClientConfig",
    "ConfigError",
    "DeadlineError",
    "Document",
    "Embedding",
    "EmbeddingClient",
    "Embeddings",
    "FieldViolation",
    "ForkedError",
    "InferenceOptions",
    "InvalidArgumentError",
    "Keepalive",
    "Limits",
    "ModelChangedError",
    "ModelInfo",
    "ModelVersion",
    "OverloadedError",
    "ParavecError",
    "Retry",
    "ServerError",
    "Tls",
    "UnauthenticatedError",
    "UnavailableError",
    "Vector",
]
