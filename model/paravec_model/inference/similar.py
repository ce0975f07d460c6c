"""Exact search for the documents nearest to a vector by cosine, beside which a query's words may be weighed.

It scans the mapped vectors without a copy.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..artifact import Artifact
from ..artifact.doctags import Tag, row_norms
from ..errors import OptionError
from ..kernels.interface import Structure, address, kernel
from ..lexical import LexicalIndex, LexicalQuery, default_weight, standard_score
from ..options import Stop, raise_if_stopped

# Between two calls of `stop`: some milliseconds, if the vectors are in memory.
_PORTION_MULTIPLY_ADDS = 2**24

# The standard deviation of cosines is known to a percent.
_MOMENT_DOCUMENTS = 4096

# Of smaller ones rounding is a part.
_LEAST_DEVIATION = 1e-4

# More than a score's.
_ROUNDING = 1e-6


class Neighbour(NamedTuple):
    """A training document that is near to a vector."""

    tag: Tag
    """Its doctag."""
    cosine: float
    """Cosine similarity, -1 to 1; 0 if the document's vector is zero."""
    score: float
    """What neighbours are ordered by: the cosine, or (1 - w) · cosine + w · share with w the query's lexical weight."""


class Found(NamedTuple):
    """The result of a query."""

    neighbours: list[Neighbour]
    """Best first."""
    lexical_weight: float
    """How much the words counted beside the vector; 0 if scores are cosines."""


_NONE = Found([], 0.0)


class DocumentIndex:
    """Searches the training documents of an artifact. Threads may share it."""

    def __init__(self, artifact: Artifact) -> None:
        self.tags = artifact.doctags
        """The documents' tags, in the order of their vectors."""
        self._arrays = artifact.arrays
        self.lexical = LexicalIndex(artifact.postings) if artifact.postings else None
        """The documents by their words; None if the artifact has no lexical index."""

    def warm_up(self) -> None:
        """Load what every search needs."""
        _ = self.tags[0], self._document_vectors
        if self.lexical:
            self.lexical.warm_up()
            _ = self._moments

    def find(
        self,
        vectors: Sequence[Sequence[float]] | npt.NDArray[Any],
        top_k: int,
        stop: Stop = bool,
        lexical: Sequence[LexicalQuery | None] = (),
    ) -> list[Found]:
        """For each vector, the `top_k` documents of the largest score, largest first; of equals the earlier document.

        `vectors`: shape (queries, vector_size). `lexical`: the lexical part of each query, of `self.lexical`; where
        there is none, the score is the cosine. A vector that is not finite has no neighbours, and one that is zero only
        those that share a term. Scores have float32 precision and do not depend on the other queries. `stop` is called
        every few milliseconds; StoppedError once it returns True. ValueError for vectors of another shape or another
        number of parts, OptionError if `top_k` is less than 1.
        """
        queries = np.asarray(vectors, np.float64)
        # The kernel reads as many numbers of a query as a document has.
        if len(queries) and queries.shape[1:] != (size := self._arrays["doctag_vectors"].shape[1:]):
            raise ValueError(f"vectors: must have shape (n, {size[0]}), not {queries.shape}")
        if top_k < 1:
            raise OptionError("top_k", f"must be at least 1, not {top_k}")
        parts = [*lexical] if lexical else [None] * len(queries)
        if len(parts) != len(queries):
            raise ValueError(f"lexical: must have {len(queries)} parts, not {len(parts)}")
        found = [_NONE] * len(queries)
        norms = np.sqrt(np.square(queries).sum(axis=-1))
        has_part = np.array([part is not None for part in parts], bool)
        valid = np.flatnonzero(((norms > 0) | has_part) & (norms < np.inf))
        units = (queries[valid] / np.where(norms > 0, norms, 1)[valid, None]).astype(np.float32)
        # The more of the nearest are known, the fewer others a share can bring among the best.
        cosines, rows = self._nearest(units, 4 * top_k + 64 if has_part.any() else top_k, stop)
        for i, query in enumerate(valid.tolist()):
            raise_if_stopped(stop)
            # NaN in documents' vectors leaves fewer neighbours. A product with huge numbers may overflow to infinity;
            # such a document is nobody's neighbour.
            finite = np.isfinite(cosines[i])
            part, best, weight = parts[query], (cosines[i][finite], rows[i][finite]), 0.0
            if part and self.lexical:
                shares = self.lexical.shares(part, stop)
                weight = self._weight(units[i], part, shares, best[0])
                if weight:
                    best = self._with_words(units[i], weight, shares, *best, top_k, stop)
            found[query] = Found(self._neighbours(units[i], *best, top_k, weight), weight)
        return found

    def _nearest(
        self, units: npt.NDArray[np.float32], top_k: int, stop: Stop
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint32]]:
        """The cosines and rows of the nearest documents of each query, in no order; -inf where there are fewer."""
        count, shape = len(self.tags), (len(units), min(top_k, len(self.tags)))
        cosines, rows = np.full(shape, -np.inf, np.float32), np.full(shape, count, np.uint32)
        step = max(1, _PORTION_MULTIPLY_ADDS // max(1, units.size))
        for begin in range(0, count if len(units) else 0, step):
            raise_if_stopped(stop)
            kernel("find_nearest")(
                self._document_vectors.address,
                begin,
                min(begin + step, count),
                address(units),
                len(units),
                address(cosines),
                address(rows),
                shape[1],
            )
        return cosines, rows

    def _with_words(
        self,
        unit: npt.NDArray[np.float32],
        weight: float,
        shares: npt.NDArray[np.float32],
        cosines: npt.NDArray[np.float32],
        nearest: npt.NDArray[np.uint32],
        top_k: int,
        stop: Stop,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint32]]:
        """The scores and rows of a query's best documents by both, in no order. Overwrites `shares`.

        A document that is not among the nearest has at most the cosine of the last of them, so only a large share can
        bring it among the best: few cosines are computed again. That is the threshold algorithm of Fagin, Lotem and
        Naor (2003).
        """
        count = len(self.tags)
        scores, rows = np.full(min(top_k, count), -np.inf, np.float32), np.full(min(top_k, count), count, np.uint32)
        np.multiply(shares, weight, out=shares)
        limits = np.array([1 - weight, np.inf], np.float32)

        def look(candidates: npt.NDArray[np.uint32]) -> None:
            step = max(1, _PORTION_MULTIPLY_ADDS // unit.size)
            for begin in range(0, len(candidates), step):
                raise_if_stopped(stop)
                some = candidates[begin : begin + step]
                kernel("find_among")(
                    self._document_vectors.address,
                    address(some),
                    len(some),
                    address(unit),
                    address(shares),
                    address(limits),
                    address(scores),
                    address(rows),
                    len(scores),
                )

        first = np.union1d(nearest, _rows_of_large(shares))
        look(first)
        shares[first] = -np.inf
        limits[1] = limits[0] * cosines.min(initial=1.0) + _ROUNDING
        look(np.flatnonzero(shares >= scores[0] - limits[1]).astype(np.uint32))
        possible = np.isfinite(scores) & ((scores > 0) | unit.any())
        return scores[possible], rows[possible]

    def _neighbours(
        self,
        unit: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        rows: npt.NDArray[np.uint32],
        top_k: int,
        weight: float,
    ) -> list[Neighbour]:
        """The best of some documents, best first; `scores` are cosines for weight 0."""
        order = np.lexsort((rows, -scores))[:top_k]
        documents, ordered = rows[order], np.clip(scores[order], -1, 1).tolist()
        cosines = self._cosines(unit, documents) if weight else ordered
        triples = zip(documents.tolist(), cosines, ordered, strict=True)
        return [Neighbour(self.tags[document], cosine, score) for document, cosine, score in triples]

    def _cosines(self, unit: npt.NDArray[np.float32], documents: npt.NDArray[np.uint32]) -> list[float]:
        """The cosines of some documents and a vector of norm 1 or 0."""
        vectors = self._arrays["doctag_vectors"][documents].astype(np.float64)
        norms = np.linalg.norm(vectors, axis=1)
        cosines = np.divide(vectors @ unit, norms, out=np.zeros(len(norms)), where=norms > 0)
        found: list[float] = np.clip(cosines, -1, 1).astype(np.float32).tolist()
        return found

    def _weight(
        self,
        unit: npt.NDArray[np.float32],
        part: LexicalQuery,
        shares: npt.NDArray[np.float32],
        nearest: npt.NDArray[np.float32],
    ) -> float:
        """The weight of a query's words. `nearest`: cosines, the largest among them."""
        if part.weight is not None:
            return part.weight
        mean, second = self._moments
        expected, largest = float(unit @ mean), min(1.0, float(nearest.max(initial=-1.0)))
        deviation = math.sqrt(max(0.0, float(unit @ second @ unit) - expected**2))
        cosine = max(0.0, largest - expected) / deviation if deviation > _LEAST_DEVIATION else 0.0
        return default_weight(cosine, standard_score(shares), part.tokens)

    @cached_property
    def _moments(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The mean of documents' unit vectors and of their outer products, of a sample."""
        vectors = self._arrays["doctag_vectors"]
        sample = vectors[:: -(-len(vectors) // _MOMENT_DOCUMENTS)].astype(np.float64)
        norms = np.linalg.norm(sample, axis=1)
        valid = (norms > 1e-30) & (norms < np.inf)
        units, count = sample[valid] / norms[valid, None], max(1, len(sample))
        return units.sum(axis=0) / count, units.T @ units / count

    @cached_property
    def _document_vectors(self) -> Structure:
        vectors = self._arrays["doctag_vectors"]
        norms = self._arrays.get("doctag_norms")
        # Artifacts from before there was a search lack norms.
        return Structure("document_vectors", vectors=vectors, norms=row_norms(vectors) if norms is None else norms)


def _rows_of_large(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """The rows of some of the largest values: about 256, at most 4,096."""
    return np.flatnonzero(values >= values[::256].max())[:4096].astype(np.uint32)
