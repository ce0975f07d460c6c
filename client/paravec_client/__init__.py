"""Client of paravec: text in, Doc2Vec vectors out."""

from .client import EmbeddingClient
from .errors import (
    CancelledError,
    ConfigError,
    DeadlineError,
    FieldViolation,
    InvalidArgumentError,
    ModelChangedError,
    OverloadedError,
    ParavecError,
    ServerError,
    UnauthenticatedError,
    UnavailableError,
)
from .config import ClientConfig, Tls
from .types import Document, Embedding, InferenceOptions, Limits, ModelInfo, Vector

__all__ = [
    "CancelledError",
    "ClientConfig",
    "ConfigError",
    "DeadlineError",
    "Document",
    "Embedding",
    "EmbeddingClient",
    "FieldViolation",
    "InferenceOptions",
    "InvalidArgumentError",
    "Limits",
    "ModelChangedError",
    "ModelInfo",
    "OverloadedError",
    "ParavecError",
    "ServerError",
    "Tls",
    "UnauthenticatedError",
    "UnavailableError",
    "Vector",
]
