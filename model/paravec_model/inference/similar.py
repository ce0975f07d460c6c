"""The training documents nearest to a vector, by cosine: all are looked at, none is copied."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..artifact import Artifact
from ..artifact.doctags import Tag, row_norms
from ..kernels.interface import Structure, address, kernel
from ..options import Stop, raise_if_stopped

# Products between two questions whether to stop: some milliseconds, if the rows are in memory.
_WORK = 2**24


class Neighbour(NamedTuple):
    """A training document near to a vector."""

    tag: Tag
    """What it was trained with."""
    cosine: float
    """Cosine of the angle between its vector and the other, -1 to 1; 0 if its vector is zero."""


class DocumentIndex:
    """The training documents that an artifact carries. Threads may share it."""

    def __init__(self, artifact: Artifact) -> None:
        self.tags = artifact.doctags
        """Their tags, in order."""
        self._arrays = artifact.arrays

    def warm_up(self) -> None:
        """Load what a search needs."""
        _ = self.tags[0], self._candidates

    def find(
        self,
        vectors: Sequence[Sequence[float]] | npt.NDArray[Any],
        top_k: int,
        stop: Stop = bool,
    ) -> list[list[Neighbour]]:
        """The `top_k` documents with the largest cosines with each vector, the largest first, the earlier of equals.

        `vectors`: shape (queries, vector_size). One that is zero or not finite has no neighbours. Cosines are rounded
        as float32 is, and to the same bits however many are asked for at once. `stop` is asked every few milliseconds;
        once it says True, StoppedError is raised.
        """
        queries = np.asarray(vectors, np.float64)
        found: list[list[Neighbour]] = [[] for _ in queries]
        sizes = np.sqrt(np.square(queries).sum(axis=-1))
        asked = np.flatnonzero((sizes > 0) & (sizes < np.inf))
        units = (queries[asked] / sizes[asked, None]).astype(np.float32)
        count, kept = len(self.tags), (len(asked), min(top_k, len(self.tags)))
        cosines, rows = np.full(kept, -np.inf, np.float32), np.full(kept, count, np.uint32)
        step = max(1, _WORK // max(1, units.size))
        for begin in range(0, count if len(asked) else 0, step):
            raise_if_stopped(stop)
            kernel("find_nearest")(
                self._candidates.address,
                begin,
                min(begin + step, count),
                address(units),
                len(units),
                address(cosines),
                address(rows),
                kept[1],
            )
        # A document's vector of huge numbers has none either.
        rows[np.isinf(cosines)] = count
        order = np.lexsort((rows, -cosines))
        nearest = np.take_along_axis(rows, order, axis=1).tolist()
        cosines = np.take_along_axis(np.clip(cosines, -1, 1), order, axis=1)
        for query, documents, near in zip(asked.tolist(), nearest, cosines.tolist(), strict=True):
            raise_if_stopped(stop)
            # Where a document's vector is no number, a place may be left empty.
            pairs = zip(documents, near, strict=True)
            found[query] = [Neighbour(self.tags[document], cosine) for document, cosine in pairs if document < count]
        return found

    @cached_property
    def _candidates(self) -> Structure:
        vectors = self._arrays["doctag_vectors"]
        norms = self._arrays.get("doctag_norms")
        # Artifacts made before there was a search have none.
        return Structure("candidates", vectors=vectors, norms=row_norms(vectors) if norms is None else norms)
