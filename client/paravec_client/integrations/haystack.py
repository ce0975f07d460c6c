"""Embedders for Haystack: one for a query's text, one for documents.

Haystack loads a saved pipeline only with modules that it is told to trust:
`Pipeline.loads(saved, allowed_modules=["paravec_client.integrations.haystack"])`.
"""

from dataclasses import replace
from typing import Any

from .requirements import required
from .source import Source

with required("haystack"):
    from haystack import Document, component, default_from_dict, default_to_dict


class _Embedder:
    """What both have in common: arguments, and how a pipeline saves them."""

    def __init__(
        self, target: str | None = None, *, artifact: str | None = None, normalize: bool | None = None
    ) -> None:
        """See `paravec_client.integrations` for the arguments."""
        self._source = Source(target, artifact, normalize)

    def to_dict(self) -> dict[str, Any]:
        """The component as a pipeline saves it."""
        source = self._source
        saved: dict[str, Any] = default_to_dict(
            self, target=source.target, artifact=source.artifact, normalize=source.normalize
        )
        return saved

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """The component that `to_dict` saved."""
        return default_from_dict(cls, data)


@component
class ParavecTextEmbedder(_Embedder):
    """Embeds a query's text::

    pipeline.add_component("embedder", ParavecTextEmbedder("localhost:50051"))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    """

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """The vector of a text, as `embedding`."""
        return {"embedding": self._source.embed([text])[0].tolist()}


@component
class ParavecDocumentEmbedder(_Embedder):
    """Embeds documents by their content, before they are written to a store."""

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """The documents with their vectors in `embedding`; a document without content gets that of an empty text."""
        vectors = self._source.embed([document.content or "" for document in documents]).tolist()
        pairs = zip(documents, vectors, strict=True)
        return {"documents": [replace(document, embedding=vector) for document, vector in pairs]}
