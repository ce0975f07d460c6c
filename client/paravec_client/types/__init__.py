"""What the client takes and returns: documents, options, embeddings, search results, the model's description."""

from .embeddings import Document, Embedding, Embeddings, Vector
from .model import InferenceOptions, Limits, ModelInfo, ModelVersion
from .similar import Neighbour, Query, SimilarDocuments, Tag

__all__ = [
    "Document",
    "Embedding",
    "Embeddings",
    "InferenceOptions",
    "Limits",
    "ModelInfo",
    "ModelVersion",
    "Neighbour",
    "Query",
    "SimilarDocuments",
    "Tag",
    "Vector",
]
