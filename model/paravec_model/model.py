"""A model in this process: the vectors of texts without a server."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import Any, TypedDict, Unpack, cast, overload

import numpy as np

from .artifact import Manifest
from .cores import usable_cores
from .encoder import Encoder, Vectors
from .errors import ModelError, OptionError
from .inference.document_vectors import DocumentVectors
from .inference.similar import Neighbour
from .options import InferenceOptions, Method
from .text.token_ids import Document

# Documents that a thread infers at once: enough that Python's share is small, few enough that all threads have work.
_BATCH_DOCUMENTS = 64


class Options(TypedDict, total=False):
    """The fields of `InferenceOptions` that a call may set; the others are the model's defaults."""

    method: Method
    epochs: int
    alpha: float
    min_alpha: float
    seed: int
    normalize: bool


class Model:
    """An open model. Threads may share it. Vectors are equal to the bit to those that a server of the model gives."""

    def __init__(self, encoder: Encoder, threads: int | None = None) -> None:
        """`threads`: how many infer the documents of one call; None for one per core of `usable_cores`."""
        if threads is not None and threads < 1:
            raise OptionError("threads", f"must be at least 1, not {threads}")
        self.encoder = encoder
        self._threads = threads or usable_cores()

    def __repr__(self) -> str:
        manifest = self.manifest
        return f"<Model {manifest.name} {manifest.version}, {self.vector_size} dimensions>"

    @property
    def manifest(self) -> Manifest:
        """Name, version, digest and parameters of the model."""
        return self.encoder.manifest

    @property
    def vector_size(self) -> int:
        """Dimensions of a vector."""
        return self.manifest.algorithm.vector_size

    @cached_property
    def dv(self) -> DocumentVectors:
        """The vectors of the artifact's documents, trained or indexed; ModelError if it has none."""
        if not self.encoder.document_index:
            raise ModelError(f"{self.encoder.artifact.path}: holds no documents; make it with --doctags, or index some")
        return DocumentVectors(self.encoder.artifact, self.encoder.document_index)

    def embed(self, documents: str | Iterable[Document], **options: Unpack[Options]) -> Vectors:
        """The vector of one text, float32 of shape (vector_size,), or of n documents, (n, vector_size).

        `documents`: a text; or a list, a generator, or a column of NumPy, pandas, Polars or PyArrow, of texts and lists
        of tokens. `options`: fields of `InferenceOptions`, such as `normalize=True`. A document without a known token
        has a zero vector.

        Raises TypeError for a document of another type, OptionError for an option out of range.
        """
        chosen, documents = self._options(options), _text_of_scalar(documents)
        if isinstance(documents, str):
            vector: Vectors = self.encoder.encode([documents], chosen).vectors[0]
            return vector

        def infer(batch: list[Document]) -> Vectors:
            return self.encoder.encode(batch, chosen).vectors

        # Before the first is inferred, so that an error of a late document or of a generator costs no work.
        batches = list(_batches(_plain_documents(documents)))
        with ThreadPoolExecutor(self._threads) as pool:
            parts = list(pool.map(infer, batches))
        return np.concatenate([np.empty((0, self.vector_size), np.float32), *parts])

    def infer_vector(
        self,
        doc_words: Sequence[str],
        alpha: float | None = None,
        min_alpha: float | None = None,
        epochs: int | None = None,
    ) -> Vectors:
        """The vector of a list of tokens by gensim's algorithm, as `Doc2Vec.infer_vector`; shape (vector_size,).

        Always method sgd; `embed` uses the model's own method. The draws are those of the model's seed, so the same
        tokens give the same vector.
        """
        if isinstance(doc_words, str):
            raise TypeError("doc_words: must be a list of tokens, not a text; embed() takes a text")
        given = {"alpha": alpha, "min_alpha": min_alpha, "epochs": epochs}
        options: Any = {name: value for name, value in given.items() if value is not None}
        vector: Vectors = self.embed([doc_words], method="sgd", **options)[0]
        return vector

    def _options(self, options: Options) -> InferenceOptions:
        if unknown := options.keys() - Options.__annotations__.keys():
            raise TypeError(f"{min(unknown)}: is no option of inference; they are {', '.join(Options.__annotations__)}")
        return replace(self.encoder.defaults, **options)

    @overload
    def find_similar(  # type: ignore[overload-overlap]
        self, queries: str, top_k: int = 10, lexical_weight: float | None = None, **options: Unpack[Options]
    ) -> list[Neighbour]: ...
    @overload
    def find_similar(
        self,
        queries: Iterable[Document],
        top_k: int = 10,
        lexical_weight: float | None = None,
        **options: Unpack[Options],
    ) -> list[list[Neighbour]]: ...

    def find_similar(
        self,
        queries: str | Iterable[Document],
        top_k: int = 10,
        lexical_weight: float | None = None,
        **options: Unpack[Options],
    ) -> list[Neighbour] | list[list[Neighbour]]:
        """The `top_k` documents of the artifact nearest to one text, or to each of a list of documents.

        `lexical_weight`: how much the words count beside the vector, 0 to 1. If None, a model with a lexical index
        chooses it for each text, by how far the best documents by words and by the vector stand out; others weigh no
        words. `dv.most_similar` takes vectors and tags. Raises ModelError if the artifact has no documents, or no
        lexical index for a weight above 0; OptionError for a method whose vectors cannot be compared with those of its
        documents.
        """
        queries = _text_of_scalar(queries)
        method = options.setdefault("method", self.encoder.search_defaults.method)
        if method not in self.encoder.search_methods:
            raise OptionError("method", f"must be {self.encoder.search_methods[0]}, which indexed the documents")
        documents = [queries] if isinstance(queries, str) else _checked_list(queries)
        lexical = self.encoder.lexical_queries(documents, lexical_weight)
        nearest = self.dv.nearest(self.embed(documents, **options), top_k, lexical)
        return nearest[0] if isinstance(queries, str) else nearest


def _text_of_scalar(documents: str | Iterable[Document]) -> str | Iterable[Document]:
    """The text in an array of no dimension, which NumPy makes of one text; other values as they are."""
    if isinstance(documents, np.ndarray) and documents.ndim == 0:
        documents = cast(str, documents.item())
    return documents


def _plain_documents(documents: Iterable[Document]) -> Iterable[Document]:
    """The documents of a list, a generator or a column, as plain Python values."""
    # Iterating over a table or a dict would give the names of its columns.
    if not isinstance(documents, Iterable) or isinstance(documents, Mapping | bytes) or hasattr(documents, "columns"):
        raise TypeError(f"documents: must be a text, or a list or column of documents, not {_type(documents)}")
    for name in ("to_pylist", "to_list", "tolist"):
        if hasattr(documents, name):
            return cast(Iterable[Document], getattr(documents, name)())
    return documents


def _checked_list(documents: Iterable[Document]) -> list[Document]:
    return [_checked(document, position) for position, document in enumerate(_plain_documents(documents))]


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    checked = (_checked(document, position) for position, document in enumerate(documents))
    return iter(lambda: list(islice(checked, _BATCH_DOCUMENTS)), [])


def _checked(document: Document, position: int) -> Document:
    if isinstance(document, str):
        return document
    # A column of lists may hold arrays.
    tokens = document.tolist() if isinstance(document, np.ndarray) else document
    if (
        isinstance(tokens, Sequence)
        and not isinstance(tokens, bytes)
        and all(isinstance(token, str) for token in tokens)
    ):
        return tokens
    raise TypeError(f"documents[{position}]: must be a text or a list of tokens, not {_type(document)}")


def _type(value: object) -> str:
    return type(value).__name__
