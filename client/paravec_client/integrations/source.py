"""Where the vectors of an integration come from: a server, or an artifact in this process."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ..client import EmbeddingClient
from ..errors import ConfigError
from ..types import Document, InferenceOptions, ModelInfo, Vector

if TYPE_CHECKING:
    from paravec_model.artifact import Manifest
    from paravec_model.model import Model


@dataclass(frozen=True)
class Source:
    """A server or an artifact, by the three arguments of all integrations. ConfigError if both are given."""

    target: str | None
    artifact: str | None
    normalize: bool | None

    def __post_init__(self) -> None:
        if self.target is not None and self.artifact is not None:
            raise ConfigError("give target or artifact, not both")

    def embed(self, documents: Sequence[Document]) -> Vector:
        """The vectors of n documents, float32 of shape (n, vector_size)."""
        if self.artifact is None:
            return _client(self.target, os.getpid()).embed(list(documents), InferenceOptions(normalize=self.normalize))
        model = _model(self.artifact)
        if self.normalize is None:
            return model.embed(list(documents))
        return model.embed(list(documents), normalize=self.normalize)

    @property
    def model(self) -> "ModelInfo | Manifest":
        """Name, version and digest of the model."""
        return _client(self.target, os.getpid()).model() if self.artifact is None else _model(self.artifact).manifest

    @property
    def vector_size(self) -> int:
        """Dimensions of a vector."""
        if self.artifact is None:
            return _client(self.target, os.getpid()).model().vector_size
        return _model(self.artifact).vector_size


@lru_cache(maxsize=8)
def _client(target: str | None, _process: int) -> EmbeddingClient:
    """This process's client. The process id in the key keeps a fork from its parent's client."""
    return EmbeddingClient(target)


@lru_cache(maxsize=8)
def _model(artifact: str) -> "Model":
    # The client alone does not need the model's package.
    from paravec_model import load

    return load(artifact)
