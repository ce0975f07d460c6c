"""Client of paravec: text in, Doc2Vec vectors out."""

from .client import EmbeddingClient
from .errors import (
    CancelledError,
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
from .types import ClientConfig, Document, Embedding, InferenceOptions, Limits, ModelInfo, Vector

__all__ = [
    "CancelledError",
    "ClientConfig",
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
    "UnauthenticatedError",
    "UnavailableError",
    "Vector",
]
