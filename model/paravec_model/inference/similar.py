"""Exact search for the documents nearest to a vector by cosine, to which a lexical score may be added.

It scans the mapped vectors without a copy.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..artifact import Artifact
from ..artifact.doctags import Tag, row_norms
from ..errors import OptionError
from ..kernels.interface import Structure, address, kernel
from ..lexical import LexicalIndex, LexicalQuery
from ..options import Stop, raise_if_stopped

# Between two calls of `stop`: some milliseconds, if the vectors are in memory.
_PORTION_MULTIPLY_ADDS = 2**24


class Neighbour(NamedTuple):
    """A training document that is near to a vector."""

    tag: Tag
    """Its doctag."""
    cosine: float
    """Cosine similarity, -1 to 1; 0 if the document's vector is zero."""
    score: float
    """What neighbours are ordered by: the cosine, or (1 - w) · cosine + w · lexical score with w the query's weight."""


class DocumentIndex:
    """Searches the training documents of an artifact. Threads may share it."""

    def __init__(self, artifact: Artifact) -> None:
        self.tags = artifact.doctags
        """The documents' tags, in the order of their vectors."""
        self._arrays = artifact.arrays
        postings, length = artifact.postings, artifact.manifest.lexical_length
        self.lexical = LexicalIndex(postings, length) if postings and length is not None else None
        """The documents by their words; None if the artifact has no lexical index."""

    def warm_up(self) -> None:
        """Load what every search needs."""
        _ = self.tags[0], self._document_vectors
        if self.lexical:
            self.lexical.scorer([self.lexical.query(["a"], 1)])

    def find(
        self,
        vectors: Sequence[Sequence[float]] | npt.NDArray[Any],
        top_k: int,
        stop: Stop = bool,
        lexical: Sequence[LexicalQuery | None] = (),
    ) -> list[list[Neighbour]]:
        """For each vector, the `top_k` documents of the largest score, largest first; of equals the earlier document.

        `vectors`: shape (queries, vector_size). `lexical`: the lexical part of each query, of `self.lexical`; where
        there is none, the score is the cosine. A vector that is not finite has no neighbours, and one that is zero only
        those that share a term. Scores have float32 precision and do not depend on the other queries. `stop` is called
        every few milliseconds; StoppedError once it returns True. ValueError for vectors of another shape, OptionError
        if `top_k` is less than 1.
        """
        queries = np.asarray(vectors, np.float64)
        # The kernel reads as many numbers of a query as a document has.
        if len(queries) and queries.shape[1:] != (size := self._arrays["doctag_vectors"].shape[1:]):
            raise ValueError(f"vectors: must have shape (n, {size[0]}), not {queries.shape}")
        if top_k < 1:
            raise OptionError("top_k", f"must be at least 1, not {top_k}")
        found: list[list[Neighbour]] = [[] for _ in queries]
        norms = np.sqrt(np.square(queries).sum(axis=-1))
        parts = [*lexical] if lexical else [None] * len(queries)
        has_part = np.array([part is not None for part in parts], bool)
        valid = np.flatnonzero(((norms > 0) | has_part) & (norms < np.inf))
        units = (queries[valid] / np.where(norms > 0, norms, 1)[valid, None]).astype(np.float32)
        scores, rows = self._search(units, [parts[query] for query in valid.tolist()], top_k, stop)
        count = len(self.tags)
        # A product with huge numbers may overflow to infinity. Such a document is nobody's neighbour.
        rows[np.isinf(scores)] = count
        rows[(norms[valid, None] == 0) & (scores <= 0)] = count
        order = np.lexsort((rows, -scores))
        nearest = np.take_along_axis(rows, order, axis=1)
        scores = np.take_along_axis(np.clip(scores, -1, 1), order, axis=1)
        for i, query in enumerate(valid.tolist()):
            raise_if_stopped(stop)
            # NaN in documents' vectors leaves fewer than top_k neighbours; `count` fills the rest.
            documents = nearest[i][nearest[i] < count]
            ordered = scores[i, : len(documents)].tolist()
            cosines = self._cosines(units[i], documents) if parts[query] else ordered
            triples = zip(documents.tolist(), cosines, ordered, strict=True)
            found[query] = [Neighbour(self.tags[document], cosine, score) for document, cosine, score in triples]
        return found

    def _search(
        self, units: npt.NDArray[np.float32], parts: Sequence[LexicalQuery | None], top_k: int, stop: Stop
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint32]]:
        """The scores and rows of the best documents of each query, in no order."""
        count, shape = len(self.tags), (len(units), min(top_k, len(self.tags)))
        scores, rows = np.full(shape, -np.inf, np.float32), np.full(shape, count, np.uint32)
        scorer = self.lexical.scorer(parts) if self.lexical and any(parts) else None
        if scorer:
            # Scaled here, so that the kernel only adds.
            units = units * np.array([[1 - part.weight if part else 1] for part in parts], np.float32)
        step = max(1, _PORTION_MULTIPLY_ADDS // max(1, units.size))
        for begin in range(0, count if len(units) else 0, step):
            raise_if_stopped(stop)
            end = min(begin + step, count)
            added = None
            if scorer:
                added = np.zeros((len(units), end - begin), np.float32)
                scorer.add(begin, end, added)
            kernel("find_nearest")(
                self._document_vectors.address,
                begin,
                end,
                address(units),
                len(units),
                0 if added is None else address(added),
                address(scores),
                address(rows),
                shape[1],
            )
        return scores, rows

    def _cosines(self, unit: npt.NDArray[np.float32], documents: npt.NDArray[np.uint32]) -> list[float]:
        """The cosines of some documents and a vector of norm 1 or 0."""
        vectors = self._arrays["doctag_vectors"][documents].astype(np.float64)
        norms = np.linalg.norm(vectors, axis=1)
        cosines = np.divide(vectors @ unit, norms, out=np.zeros(len(norms)), where=norms > 0)
        found: list[float] = np.clip(cosines, -1, 1).astype(np.float32).tolist()
        return found

    @cached_property
    def _document_vectors(self) -> Structure:
        vectors = self._arrays["doctag_vectors"]
        norms = self._arrays.get("doctag_norms")
        # Artifacts from before there was a search lack norms.
        return Structure("document_vectors", vectors=vectors, norms=row_norms(vectors) if norms is None else norms)
