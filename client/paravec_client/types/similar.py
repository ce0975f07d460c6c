"""Queries of `find_similar` and their results."""

from collections.abc import Sequence
from dataclasses import dataclass

from .embeddings import Vector

Tag = str | int
"""The tag of a training document."""

Query = str | Sequence[str] | Sequence[float] | Vector
"""A text, a list of tokens, or a vector of shape (vector_size,)."""


@dataclass(frozen=True)
class Neighbour:
    """A training document near a query.

    Attributes:
        tag: The document's tag in training: a str or an int.
        cosine: Cosine similarity of its vector and the query's, -1 to 1; 0 if one of them is zero.
        score: What neighbours are ordered by: the cosine, or with a lexical weight w (1 - w) * cosine + w * lexical.
    """

    tag: Tag
    cosine: float
    score: float = 0.0


@dataclass(frozen=True)
class SimilarDocuments:
    """The training documents nearest to one query.

    Attributes:
        neighbours: `top_k` documents, the largest score first; fewer if the model has fewer. If the query's vector is
            zero, only documents that share a part of a word with it, and none without a lexical index.
        token_count: Tokens in the query, before truncation; 0 if the query is a vector.
        known_token_count: Tokens of the query, after truncation, that are in the model's vocabulary. If this is 0 for a
            text or tokens, its vector is zero.
        truncated: True if the query had more than `Limits.max_tokens` tokens and only the first were used.
        method: Inference method of texts and tokens, sgd or map; None if the server does not report it.
        lexical_weight: The weight of the lexical score, by default another for each query; 0 if the scores are cosines.
    """

    neighbours: tuple[Neighbour, ...]
    token_count: int
    known_token_count: int
    truncated: bool
    method: str | None = None
    lexical_weight: float = 0.0
