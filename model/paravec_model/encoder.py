"""Infers the vectors of texts or tokens with one model. It knows nothing of protocols: no protobuf, no gRPC."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from string import printable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .artifact import Artifact
from .artifact.finite import checked, unit_rows
from .errors import ArtifactError, ModelError, OptionError
from .inference.map import Map
from .inference.method import InferenceMethod
from .inference.sgd import Sgd
from .inference.similar import DocumentIndex
from .lexical import LexicalQuery
from .lexical.index import check_weight
from .options import InferenceOptions, Method, Stop, padded, raise_if_stopped
from .text.token_ids import NO_LIMIT, Document, TokenIdReader, TokenIds
from .text.tokenizer import check_tokenizer

Vectors = npt.NDArray[np.float32]

# Of one core, for estimates.
_MULTIPLY_ADDS_PER_SECOND = 5e9
_MULTIPLY_ADDS_PER_MS = _MULTIPLY_ADDS_PER_SECOND / 1000


class Encoding(NamedTuple):
    """The vectors of some documents, and how many of their tokens the model knows."""

    vectors: Vectors
    """float32 of shape (documents, vector_size). The vector of a document without a known token is zero."""
    known_token_counts: list[int]
    """Known tokens among the first `max_tokens` of each document."""
    token_counts: Sequence[int]
    """All tokens of each document."""
    max_tokens: int
    """Tokens of a document after this many are ignored."""

    @property
    def truncated(self) -> Iterator[bool]:
        """For each document, whether it has more than `max_tokens` tokens."""
        return (count > self.max_tokens for count in self.token_counts)

    def part(self, begin: int, end: int) -> "Encoding":
        """The encoding of documents `begin` to `end`, `end` excluded."""
        part = slice(begin, end)
        return Encoding(self.vectors[part], self.known_token_counts[part], self.token_counts[part], self.max_tokens)


class Encoder:
    """Infers vectors with one artifact. Threads may share an encoder; a long call releases the GIL while it computes.

    The vector of a document depends only on the model, the document's tokens and the options. It is equal to the bit
    whatever other documents are in the call, and on every thread, process and machine. CPUs with and without AVX2 are
    the exception: their last bits differ.
    """

    def __init__(self, artifact: Artifact, method: Method | None = None) -> None:
        """Build the methods that the artifact supports.

        `method` replaces the manifest's default method. OptionError if the model does not support it; ArtifactError if
        the model's stemmer is not installed, or another version of it.
        """
        self.artifact = artifact
        self.manifest = artifact.manifest
        self.tokenize = artifact.manifest.tokenizer
        try:
            check_tokenizer(self.tokenize)
        except OptionError as error:
            raise ArtifactError(f"{artifact.path}: {error}") from error
        self.to_token_ids = TokenIdReader(self.tokenize, artifact.vocabulary)
        self._methods: dict[Method, InferenceMethod] = {"sgd": Sgd(artifact)}
        if self.manifest.map_lambda is not None:
            self._methods["map"] = Map(artifact, self.manifest.map_lambda)
        self.defaults = replace(self.manifest.defaults, method=method) if method else self.manifest.defaults
        """Options of calls that pass none."""
        self._columns = padded(self.manifest.algorithm.vector_size)
        if self.defaults.method not in self._methods:
            raise self._unsupported(self.defaults.method)
        self.document_index = DocumentIndex(artifact) if self.manifest.doctag_count else None
        """Search over the documents; None if the artifact has none."""

    @property
    def methods(self) -> tuple[Method, ...]:
        """The methods that this model supports."""
        return tuple(self._methods)

    @property
    def search_methods(self) -> tuple[Method, ...]:
        """The methods whose vectors can be compared with the documents': all if the documents were trained, else only
        the one that indexed them."""
        return (self.manifest.defaults.method,) if self.manifest.index else self.methods

    @property
    def search_defaults(self) -> InferenceOptions:
        """`defaults` for queries. Documents that were indexed are searched with the options that indexed them."""
        return self.manifest.defaults if self.manifest.index else self.defaults

    def with_map(self, map_lambda: float, others: Mapping[str, npt.NDArray[Any]] | None = None) -> "Encoder":
        """A copy of this encoder with another λ for method map, and other arrays, by their names in an artifact."""
        other = copy(self)
        other._methods = {**self._methods, "map": Map(self.artifact, map_lambda, others)}
        return other

    def _unsupported(self, method: Method) -> OptionError:
        return OptionError("method", f"must be {' or '.join(self.methods)} for this model, not {method}")

    def warm_up(self) -> None:
        """Load pages from disk and draw the random tables of the default options, so that the first call need not."""
        self.artifact.vocabulary.id_of("")
        self.to_token_ids([printable])
        for name, method in self._methods.items():
            vector = np.zeros((1, self._columns), np.float32)
            method(array("I", [0]), array("q", [0, 1]), vector, replace(self.defaults, method=name), bool)
        if self.document_index:
            self.document_index.warm_up()

    def lexical_queries(
        self, documents: Sequence[Document], weight: float | None = None, max_tokens: int = NO_LIMIT, stop: Stop = bool
    ) -> list[LexicalQuery | None]:
        """The lexical part of each document as a query, for `document_index.find`.

        `weight`: that of the lexical part in the score; None if the search chooses it. Tokens after `max_tokens` are
        ignored. OptionError if it is not 0 to 1; ModelError if it is above 0 and the artifact has no lexical index.
        """
        check_weight(weight)
        index = self.document_index.lexical if self.document_index else None
        if weight and index is None:
            raise ModelError(f"{self.artifact.path}: has no lexical index; make one, or leave out the weight")
        if index is None or weight == 0:
            return [None] * len(documents)
        parts = []
        for document in documents:
            raise_if_stopped(stop)
            tokens = self.tokenize(document) if isinstance(document, str) else document
            parts.append(index.query(tokens[:max_tokens], weight))
        return parts

    def is_short(self, tokens: int, options: InferenceOptions) -> bool:
        """Whether inference of about `tokens` tokens takes at most one millisecond."""
        # The random tables of other seeds, or of more epochs, may not be in memory.
        drawn = options.seed == self.defaults.seed and options.epochs <= self.defaults.epochs
        return drawn and self._methods[options.method].cost(tokens, options) < _MULTIPLY_ADDS_PER_MS

    def estimate_seconds(self, tokens: int, options: InferenceOptions | None = None) -> float:
        """Seconds that inference of `tokens` tokens takes on one core, within a factor of two to three."""
        options = options or self.defaults
        return self._methods[options.method].cost(tokens, options) / _MULTIPLY_ADDS_PER_SECOND

    def encode(
        self,
        documents: Sequence[Document],
        options: InferenceOptions | None = None,
        stop: Stop = bool,
    ) -> Encoding:
        """Infer the vectors of documents.

        `documents`: each a text, which the model's tokenizer splits, or a sequence of tokens. `options`: None for
        `defaults`. `stop`: called every 10 to 30 ms of work; return True to give up.

        Raises OptionError if the model does not support the method, StoppedError once `stop` returns True, and
        NotFiniteError if a vector holds NaN or infinity, which damaged or diverged models cause.
        """
        return self.infer(self.to_token_ids(documents, stop=stop), options, stop)

    def infer(self, documents: TokenIds, options: InferenceOptions | None = None, stop: Stop = bool) -> Encoding:
        """Infer the vectors of documents given as token ids; otherwise as `encode`."""
        options = options or self.defaults
        method = self._methods.get(options.method)
        if method is None:
            raise self._unsupported(options.method)
        size, known = self.manifest.algorithm.vector_size, documents.known_counts
        vectors = np.zeros((len(known), self._columns), np.float32)
        if documents.ids:
            method(documents.ids, documents.ends, vectors, options, stop)
            checked(vectors)
        vectors = vectors[:, :size]
        if 0 in known:
            vectors[[count == 0 for count in known]] = 0
        if options.normalize:
            vectors = unit_rows(vectors)
        return Encoding(vectors, known, documents.token_counts, documents.max_tokens)
