"""From documents to vectors, on all cores, in the order of the documents."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..artifact.doctags import Tag
from ..artifact.finite import unit_rows
from ..cores import usable_cores
from ..encoder import Encoder, Vectors
from ..options import InferenceOptions
from ..parallel import ordered_map
from ..text.token_ids import TokenIdReader, TokenIds
from .source import Document

# Documents that a thread infers at once, and batches that wait for each thread: they bound the memory of texts.
_BATCH_DOCUMENTS, _BATCHES_PER_THREAD = 128, 2


class Batch(NamedTuple):
    """Some documents in a row."""

    ids: list[Tag]
    """Their ids."""
    tokens: TokenIds | None
    """What `read` made of all fields, field by field and document by document: document n of documents with f fields is
    n * f to (n + 1) * f. None without `read`."""
    vectors: Vectors
    """float32 of shape (documents, vector_size)."""


def batches(
    encoder: Encoder,
    documents: Iterable[Document],
    weights: Sequence[float],
    options: InferenceOptions,
    threads: int | None = None,
    read: TokenIdReader | None = None,
) -> Iterator[Batch]:
    """Infer all documents. The result does not depend on `threads`; None is one per core of `usable_cores`.

    `read`: also reads the texts, with another vocabulary than the model's.
    """
    threads, rest = threads or usable_cores(), iter(documents)
    some = iter(lambda: list(islice(rest, _BATCH_DOCUMENTS)), [])
    work = partial(_infer, encoder, weights, options, read)
    return ordered_map(work, some, threads, _BATCHES_PER_THREAD * threads)


def _infer(
    encoder: Encoder,
    weights: Sequence[float],
    options: InferenceOptions,
    read: TokenIdReader | None,
    documents: list[Document],
) -> Batch:
    texts = list(chain.from_iterable(document.texts for document in documents))
    vectors = encoder.infer(
        encoder.to_token_ids(texts), replace(options, normalize=options.normalize and len(weights) == 1)
    ).vectors
    if len(weights) > 1:
        vectors = combined(vectors.reshape(len(documents), len(weights), -1), weights)
        if options.normalize:
            vectors = unit_rows(vectors)
    return Batch([document.id for document in documents], read(texts) if read else None, vectors)


def combined(vectors: Vectors, weights: Sequence[float]) -> Vectors:
    """The weighted mean of the unit vectors of each document's fields, of which those without known words are left out.

    `vectors`: float32 of shape (documents, fields, vector_size).
    """
    total: npt.NDArray[np.float64] = np.zeros((len(vectors), vectors.shape[2]))
    weight = np.zeros((len(vectors), 1))
    for field, field_weight in enumerate(weights):
        units = unit_rows(vectors[:, field])
        total += np.float64(field_weight) * units
        weight += field_weight * units.any(axis=1, keepdims=True)
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0).astype(np.float32)
