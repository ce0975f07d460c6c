"""Exact search for the training documents nearest to a vector by cosine. It scans the mapped vectors without a copy."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..artifact import Artifact
from ..artifact.doctags import Tag, row_norms
from ..errors import OptionError
from ..kernels.interface import Structure, address, kernel
from ..options import Stop, raise_if_stopped

# Between two calls of `stop`: some milliseconds, if the vectors are in memory.
_PORTION_MULTIPLY_ADDS = 2**24


class Neighbour(NamedTuple):
    """A training document that is near to a vector."""

    tag: Tag
    """Its doctag."""
    cosine: float
    """Cosine similarity, -1 to 1; 0 if the document's vector is zero."""


class DocumentIndex:
    """Searches the training documents of an artifact. Threads may share it."""

    def __init__(self, artifact: Artifact) -> None:
        self.tags = artifact.doctags
        """The documents' tags, in the order of their vectors."""
        self._arrays = artifact.arrays

    def warm_up(self) -> None:
        """Load what every search needs."""
        _ = self.tags[0], self._document_vectors

    def find(
        self,
        vectors: Sequence[Sequence[float]] | npt.NDArray[Any],
        top_k: int,
        stop: Stop = bool,
    ) -> list[list[Neighbour]]:
        """For each vector, the `top_k` documents of the largest cosine, largest first; of equals the earlier document.

        `vectors`: shape (queries, vector_size). A vector that is zero or not finite has no neighbours. Cosines have
        float32 precision and do not depend on the other queries. `stop` is called every few milliseconds; StoppedError
        once it returns True. ValueError for vectors of another shape, OptionError if `top_k` is less than 1.
        """
        queries = np.asarray(vectors, np.float64)
        # The kernel reads as many numbers of a query as a document has.
        if len(queries) and queries.shape[1:] != (size := self._arrays["doctag_vectors"].shape[1:]):
            raise ValueError(f"vectors: must have shape (n, {size[0]}), not {queries.shape}")
        if top_k < 1:
            raise OptionError("top_k", f"must be at least 1, not {top_k}")
        found: list[list[Neighbour]] = [[] for _ in queries]
        norms = np.sqrt(np.square(queries).sum(axis=-1))
        valid = np.flatnonzero((norms > 0) & (norms < np.inf))
        units = (queries[valid] / norms[valid, None]).astype(np.float32)
        count, shape = len(self.tags), (len(valid), min(top_k, len(self.tags)))
        cosines, rows = np.full(shape, -np.inf, np.float32), np.full(shape, count, np.uint32)
        step = max(1, _PORTION_MULTIPLY_ADDS // max(1, units.size))
        for begin in range(0, count if len(valid) else 0, step):
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
        # A product with huge numbers may overflow to infinity. Such a document is nobody's neighbour.
        rows[np.isinf(cosines)] = count
        order = np.lexsort((rows, -cosines))
        nearest = np.take_along_axis(rows, order, axis=1).tolist()
        cosines = np.take_along_axis(np.clip(cosines, -1, 1), order, axis=1)
        for query, documents, similarities in zip(valid.tolist(), nearest, cosines.tolist(), strict=True):
            raise_if_stopped(stop)
            pairs = zip(documents, similarities, strict=True)
            # NaN in documents' vectors leaves fewer than top_k neighbours; `count` fills the rest.
            found[query] = [Neighbour(self.tags[document], cosine) for document, cosine in pairs if document < count]
        return found

    @cached_property
    def _document_vectors(self) -> Structure:
        vectors = self._arrays["doctag_vectors"]
        norms = self._arrays.get("doctag_norms")
        # Artifacts from before there was a search lack norms.
        return Structure("document_vectors", vectors=vectors, norms=row_norms(vectors) if norms is None else norms)
