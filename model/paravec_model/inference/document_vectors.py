"""The vectors of the training documents, under the names of gensim's `Doc2Vec.dv`."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..artifact import Artifact
from ..artifact.doctags import Tag
from ..lexical import LexicalQuery
from .similar import DocumentIndex, Neighbour

Vectors = npt.NDArray[np.float32]


class DocumentVectors:
    """The vectors of an artifact's training documents. A subset of gensim's `KeyedVectors`, which is `Doc2Vec.dv`.

    As in gensim, a number that is no tag is a position: `dv[0]` is the vector of the first document.

    Attributes:
        index_to_key: The tags, in the order of the vectors.
        vectors: float32 of shape (documents, vector_size), read-only; mapped from the artifact.
    """

    def __init__(self, artifact: Artifact, index: DocumentIndex) -> None:
        self._artifact, self._index = artifact, index
        self.index_to_key: Sequence[Tag] = index.tags
        self.vectors: Vectors = artifact.arrays["doctag_vectors"][:, : artifact.manifest.algorithm.vector_size]

    @cached_property
    def key_to_index(self) -> dict[Tag, int]:
        """The position of each tag, made on first use; `get_index` takes a tenth of its memory."""
        return {tag: position for position, tag in enumerate(self.index_to_key)}

    @property
    def vector_size(self) -> int:
        """Dimensions of a vector."""
        return int(self.vectors.shape[1])

    def __len__(self) -> int:
        return len(self.vectors)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str | int | np.integer) and self._artifact.index_of_tag(_plain(key)) is not None

    def get_index(self, key: Tag) -> int:
        """The position of a tag; KeyError if no document has it."""
        position = None
        if isinstance(key, str | int | np.integer):
            key = _plain(key)
            position = self._artifact.index_of_tag(key)
            if position is None and isinstance(key, int) and 0 <= key < len(self):
                position = key
        if position is None:
            raise KeyError(f"no training document has the tag {key!r}")
        return position

    def __getitem__(self, key: Tag | list[Any]) -> Vectors:
        """A copy of the vector of a tag, (vector_size,), or of the vectors of n tags, (n, vector_size).

        NotFiniteError if the artifact is damaged.
        """
        if isinstance(key, list):
            return self._artifact.document_vectors([self.get_index(tag) for tag in key])
        vector: Vectors = self._artifact.document_vectors([self.get_index(key)])[0]
        return vector

    def similarity(self, key1: Tag, key2: Tag) -> float:
        """The cosine similarity of two documents, -1 to 1; 0 if a vector is zero."""
        first, second = (_unit(self[key]) for key in (key1, key2))
        return float(np.clip(first @ second, -1, 1))

    def most_similar(self, positive: Tag | npt.NDArray[Any] | list[Any], topn: int = 10) -> list[tuple[Tag, float]]:
        """The documents nearest to tags and vectors by cosine, nearest first, as pairs of tag and cosine.

        `positive`: a tag, a vector, or a list of them, whose unit vectors are averaged. The documents of the tags
        given are left out. ValueError for a vector of another size.
        """
        keys = positive if isinstance(positive, list) else [positive]
        if not keys:
            raise ValueError("positive: must hold at least one tag or vector")
        given = {self.get_index(key) for key in keys if not isinstance(key, np.ndarray)}
        vectors = [key if isinstance(key, np.ndarray) else self[key] for key in keys]
        for vector in vectors:
            if vector.shape != (self.vector_size,):
                raise ValueError(f"positive: a vector must have shape ({self.vector_size},), not {vector.shape}")
        if topn < 1:
            return []
        mean = np.mean([_unit(vector) for vector in vectors], axis=0)
        left_out = {self.index_to_key[position] for position in given}
        (found,) = self._index.find([mean], topn + len(given))
        return [(tag, cosine) for tag, cosine, _ in found.neighbours if tag not in left_out][:topn]

    def nearest(
        self, vectors: npt.NDArray[Any], top_k: int, lexical: Sequence[LexicalQuery | None] = ()
    ) -> list[list[Neighbour]]:
        """The `top_k` documents nearest to each vector, as `DocumentIndex.find`; `vectors`: shape (n, vector_size)."""
        return [found.neighbours for found in self._index.find(vectors, top_k, lexical=lexical)]


def _plain(key: Any) -> Tag:
    """A tag as the artifact holds it. True is 1, as in a dict."""
    return key if isinstance(key, str) else int(key)


def _unit(vector: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    norm = np.linalg.norm(vector.astype(np.float64))
    return np.divide(vector, norm, dtype=np.float64) if norm > 0 else np.zeros(len(vector))
