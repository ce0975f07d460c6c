"""An embedding for LlamaIndex."""

import asyncio
from typing import Any

from .requirements import required
from .source import Source

with required("llama-index"):
    from llama_index.core.base.embeddings.base import BaseEmbedding


class ParavecEmbedding(BaseEmbedding):
    """Doc2Vec vectors as LlamaIndex's `BaseEmbedding`::

        Settings.embed_model = ParavecEmbedding("localhost:50051")

    `embed_batch_size` and LlamaIndex's other settings can be given too.
    """

    target: str | None = None
    artifact: str | None = None
    normalize: bool | None = None

    def __init__(
        self,
        target: str | None = None,
        *,
        artifact: str | None = None,
        normalize: bool | None = None,
        embed_batch_size: int = 256,
        **settings: Any,
    ) -> None:
        """See `paravec_client.integrations` for the first three arguments."""
        Source(target, artifact, normalize)
        super().__init__(
            target=target, artifact=artifact, normalize=normalize, embed_batch_size=embed_batch_size, **settings
        )

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex saves it."""
        return "ParavecEmbedding"

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = Source(self.target, self.artifact, self.normalize).embed(texts).tolist()
        return vectors

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, query)
