"""Embeddings for LangChain."""

from .requirements import required
from .source import Source

with required("langchain"):
    from langchain_core.embeddings import Embeddings


class ParavecEmbeddings(Embeddings):
    """Doc2Vec vectors as LangChain's `Embeddings`::

        store = InMemoryVectorStore(ParavecEmbeddings("localhost:50051"))

    The asynchronous methods of the base class run these in a thread.
    """

    def __init__(
        self, target: str | None = None, *, artifact: str | None = None, normalize: bool | None = None
    ) -> None:
        """See `paravec_client.integrations` for the arguments."""
        self._source = Source(target, artifact, normalize)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The vectors of texts."""
        vectors: list[list[float]] = self._source.embed(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The vector of one text; Doc2Vec has no other vectors for queries than for documents."""
        return self.embed_documents([text])[0]
