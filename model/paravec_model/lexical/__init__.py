"""BM25 beside the vectors: an artifact's documents by their words, to find what a model's vocabulary lacks.

Public: `LexicalIndex` scores queries, `LexicalBuilder` makes the arrays from documents, `Postings` are these arrays,
`TermLists` a part of them, and `merged` puts those of two indexes together. `terms` says what is counted.
`default_weight` says how much words count for a query that does not say.
"""

from .builder import LexicalBuilder
from .index import LexicalIndex, LexicalQuery
from .postings import Postings, TermLists, merged
from .weight import default_weight, standard_score

__all__ = [
    "LexicalBuilder",
    "LexicalIndex",
    "LexicalQuery",
    "Postings",
    "TermLists",
    "default_weight",
    "merged",
    "standard_score",
]
