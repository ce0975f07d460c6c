"""Text or tokens in, vectors out: the whole of inference, without any wire."""

from array import array
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from string import printable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .artifact import Artifact
from .artifact.finite import all_finite
from .errors import NotFiniteError, OptionError
from .inference.map import Map
from .inference.method import InferenceMethod
from .inference.sgd import Sgd
from .inference.similar import DocumentIndex
from .options import InferenceOptions, Method, Stop, padded
from .text.token_ids import Document, TokenIdReader, TokenIds

Vectors = npt.NDArray[np.float32]

# Multiply-adds a second of one core, for estimates.
_RATE = 5e9


class Encoding(NamedTuple):
    """Vectors of documents."""

    vectors: Vectors
    """Shape (documents, vector_size). A document with no known token has a zero vector."""
    known_token_counts: list[int]
    """Tokens of each document that the vocabulary has, and that were used."""
    token_counts: Sequence[int]
    """Tokens of each document."""
    max_tokens: int
    """At most so many tokens of a document were used."""

    @property
    def truncated(self) -> Iterator[bool]:
        """Whether some of a document's tokens were not used."""
        return (count > self.max_tokens for count in self.token_counts)

    def part(self, begin: int, end: int) -> "Encoding":
        """The encoding of the documents [begin, end)."""
        part = slice(begin, end)
        return Encoding(self.vectors[part], self.known_token_counts[part], self.token_counts[part], self.max_tokens)


class Encoder:
    """Infers vectors with one artifact. Threads may share it: a long call holds the GIL only to look words up.

    The vector of a document depends on the model, its tokens and the options, to the bit, and on nothing else: not on
    the documents beside it, on earlier calls, or on which thread, process or machine makes it (CPUs without AVX2
    agree among each other).
    """

    def __init__(self, artifact: Artifact, method: Method | None = None) -> None:
        """`method`: the default one, the manifest's if None; OptionError if the model cannot be used with it."""
        self.artifact = artifact
        self.manifest = artifact.manifest
        self.tokenize = artifact.manifest.tokenizer
        self.to_token_ids = TokenIdReader(self.tokenize, artifact.vocabulary)
        self._methods: dict[Method, InferenceMethod] = {"sgd": Sgd(artifact)}
        if self.manifest.map_lambda is not None:
            self._methods["map"] = Map(artifact, self.manifest.map_lambda)
        self.defaults = replace(self.manifest.defaults, method=method) if method else self.manifest.defaults
        """Options where a caller gives none."""
        self._check(self.defaults)
        self.document_index = DocumentIndex(artifact) if self.manifest.doctag_count else None
        """The training documents, if the artifact carries them."""

    @property
    def methods(self) -> tuple[Method, ...]:
        """What this model can be used with."""
        return tuple(self._methods)

    def with_map_lambda(self, map_lambda: float) -> "Encoder":
        """The same encoder with another λ of method map; to compare values."""
        other = copy(self)
        other._methods = {**self._methods, "map": Map(self.artifact, map_lambda)}
        return other

    def _check(self, options: InferenceOptions) -> None:
        if options.method not in self._methods:
            raise OptionError("method", f"must be {' or '.join(self.methods)} for this model, not {options.method}")

    def warm_up(self) -> None:
        """Read what every document needs and draw for the default options, so that the first does not wait for it."""
        self.artifact.vocabulary.id_of("")
        self.to_token_ids([printable])
        for name, method in self._methods.items():
            vector = np.zeros((1, padded(self.manifest.algorithm.vector_size)), np.float32)
            method(array("I", [0]), array("q", [0, 1]), vector, replace(self.defaults, method=name), bool)
        if self.document_index:
            self.document_index.warm_up()

    def is_short(self, tokens: int, options: InferenceOptions) -> bool:
        """Whether to infer from about so many tokens takes a millisecond at most."""
        # What has been drawn for another seed, or for more epochs, may be gone again.
        drawn = options.seed == self.defaults.seed and options.epochs <= self.defaults.epochs
        return drawn and self._methods[options.method].cost(tokens, options) < _RATE / 1000

    def estimate_seconds(self, tokens: int, options: InferenceOptions | None = None) -> float:
        """About how long one core infers from so many tokens; within a factor of two or three."""
        options = options or self.defaults
        return self._methods[options.method].cost(tokens, options) / _RATE

    def encode(
        self,
        documents: Sequence[Document],
        options: InferenceOptions | None = None,
        stop: Stop = bool,
    ) -> Encoding:
        """Infer the vectors of documents: of texts, or of tokens.

        `options`: `defaults` if None; OptionError if the model cannot be used with their method. `stop` is
        asked every few ten milliseconds of work; once it says True, StoppedError is raised. NotFiniteError if the model
        holds numbers that are not finite, and one of the vectors is not either.
        """
        return self.infer(self.to_token_ids(documents, stop=stop), options, stop)

    def infer(self, words: TokenIds, options: InferenceOptions | None = None, stop: Stop = bool) -> Encoding:
        """Infer the vectors of documents that were read, as `encode` does."""
        options = options or self.defaults
        self._check(options)
        size, known = self.manifest.algorithm.vector_size, words.known_counts
        vectors = np.zeros((len(known), padded(size)), np.float32)
        if words.ids:
            self._methods[options.method](words.ids, words.ends, vectors, options, stop)
            if not all_finite(vectors):
                raise NotFiniteError("a vector is not finite; paravec-model verify names the arrays that are the cause")
        vectors = vectors[:, :size]
        if 0 in known:
            vectors[[count == 0 for count in known]] = 0
        if options.normalize:
            lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
            vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0, casting="same_kind")
        return Encoding(vectors, known, words.token_counts, words.max_tokens)
