"""The synchronous client."""

from collections.abc import Generator, Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, Self, cast, overload

import grpc

from ._protocol.call_settings import MetadataLike, call_settings
from ._protocol.calls import SERVICE
from ._protocol.messages import options_message, plain_values, single_query, single_text
from ._protocol.programs import CallPrograms, concatenate
from ._protocol.stream import Outcome, check_error_mode, open_stream
from ._transport.sync_runner import SyncRunner
from .config import ClientConfig, resolve_config
from .types import Document, Embedding, Embeddings, InferenceOptions, ModelInfo, Query, SimilarDocuments, Tag, Vector


class EmbeddingClient:
    """Embeds documents with the model of a paravec server::

        with EmbeddingClient("localhost:50051") as client:
            vector = client.embed("a text")             # float32, (vector_size,)
            vectors = client.embed(["a text", "another"])  # float32, (2, vector_size)

    Threads may share a client. After a fork both processes may use it, each with a connection of its own. Every error
    is a `ParavecError`. Methods that call the server take two more arguments. `timeout`: seconds for this call, with
    all its retries, instead of `ClientConfig.timeout`. `metadata`: gRPC metadata of this call, a dict or pairs of names
    and values; `x-request-id` sets the id of the call in the server's log and in errors.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        timeout: float | None = None,
        config: ClientConfig | None = None,
        channel: grpc.Channel | None = None,
        interceptors: Sequence[Any] = (),
    ) -> None:
        """Make a client; it connects at the first call.

        Args:
            target: Address of the server, host:port; by default that of `config`.
            timeout: Seconds for each call; by default that of `config`.
            config: All settings; by default from the environment, see `ClientConfig.from_environment`.
            channel: The caller's own channel. The client does not close it, and sends the token over it whatever its
                security. The config's target, tls, keepalive, use_proxy and health_checks have no effect then.
            interceptors: gRPC client interceptors; the first is outermost.

        Raises:
            ConfigError: A setting, a certificate or the token is unusable.
        """
        self.config = resolve_config(target, timeout, config)
        self._programs = CallPrograms(self.config)
        self._runner = SyncRunner(self.config, channel, interceptors)

    def __repr__(self) -> str:
        return f"<EmbeddingClient {self.config.target}{' closed' if self._runner.closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Calls in progress are cancelled."""
        self._runner.close()

    @overload
    def embed(
        self, documents: str, options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Vector: ...  # fmt: skip
    @overload
    def embed(
        self, documents: Iterable[Document], options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Vector: ...  # fmt: skip

    def embed(
        self, documents: str | Iterable[Document], options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Vector:  # fmt: skip
        """The vector of one text, float32 of shape (vector_size,), or of n documents, (n, vector_size).

        Args:
            documents: A text; or a list, a generator, or a column of numpy, pandas, polars or pyarrow, of documents. A
                document is a text or a list of tokens. Many documents are split into several concurrent calls.
            options: How to infer; the model's defaults if None.

        Raises:
            InvalidArgumentError: A document or an option is invalid; `violations` names it.
            ParavecError: Any other failure.
        """
        if (text := single_text(documents)) is not None:
            return self.embed_all([text], options, timeout=timeout, metadata=metadata)[0].vector
        return self.embed_all(documents, options, timeout=timeout, metadata=metadata).vectors

    def embed_all(
        self, documents: Iterable[Document], options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Embeddings:  # fmt: skip
        """The vectors of n documents with their token counts; arguments and errors are those of `embed`.

        `numpy.asarray` of the result is the array of vectors, (n, vector_size).
        """
        calls = self._runner.run(self._programs.plan_embed(documents, options, call_settings(timeout, metadata)))
        return concatenate(self._runner.run_all(calls))

    @overload
    def embed_stream(
        self, documents: Iterable[Document], options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Generator[Embedding, None, None]: ...  # fmt: skip
    @overload
    def embed_stream(
        self, documents: Iterable[Document], options: InferenceOptions | None = None, *, errors: Literal["raise"],
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Generator[Embedding, None, None]: ...  # fmt: skip
    @overload
    def embed_stream(
        self, documents: Iterable[Document], options: InferenceOptions | None = None, *, errors: Literal["return"],
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Generator[Outcome, None, None]: ...  # fmt: skip

    def embed_stream(
        self, documents: Iterable[Document], options: InferenceOptions | None = None, *,
        errors: Literal["raise", "return"] = "raise",
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Generator[Any, None, None]:  # fmt: skip
        """Yield the embedding of each document, in order, while reading further documents.

        Args:
            documents: Any iterable, even an endless one. It is read at most two batches ahead of the calls in flight;
                `EmbeddingClient` reads it on a thread of its own.
            options: How to infer; the model's defaults if None.
            errors: "raise" ends the stream with the error of an invalid document; "return" yields its ParavecError in
                its place.
            timeout: Seconds for each attempt at a batch. A batch is retried until this many seconds of backoff are
                over without an answer from any server.
            metadata: Metadata of each call.

        Raises:
            ModelChangedError: The servers switched to another model.
            ParavecError: Any other failure. An exception of `documents` itself is raised as it is, after the outcomes
                of the documents before it.
        """
        # Not a generator itself, so that invalid arguments raise here and not at the first outcome.
        values, message = plain_values(documents), options_message(options)
        settings = call_settings(timeout, metadata)
        return self._runner.stream(open_stream(self._programs, message, check_error_mode(errors), settings), values)

    # To a type checker a str and a 1-dimensional array are iterables of queries too, so the overloads overlap.
    @overload
    def find_similar(  # type: ignore[overload-overlap]
        self, queries: str, top_k: int = 10, options: InferenceOptions | None = None, *,
        lexical_weight: float | None = None, timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> SimilarDocuments: ...  # fmt: skip
    @overload
    def find_similar(
        self, queries: Vector, top_k: int = 10, options: InferenceOptions | None = None, *,
        lexical_weight: float | None = None, timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Any: ...  # fmt: skip
    @overload
    def find_similar(
        self, queries: Iterable[Query], top_k: int = 10, options: InferenceOptions | None = None, *,
        lexical_weight: float | None = None, timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> list[SimilarDocuments]: ...  # fmt: skip
    @overload
    def find_similar(
        self, queries: Sequence[float], top_k: int = 10, options: InferenceOptions | None = None, *,
        lexical_weight: float | None = None, timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> SimilarDocuments: ...  # fmt: skip

    def find_similar(
        self, queries: str | Sequence[float] | Iterable[Query], top_k: int = 10,
        options: InferenceOptions | None = None, *, lexical_weight: float | None = None,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> SimilarDocuments | list[SimilarDocuments]:  # fmt: skip
        """The training documents nearest to one query, or to each query of a list, by cosine similarity and by words.

        Args:
            queries: A text, or a vector: an array of shape (vector_size,) or a list of numbers. Or a list of texts,
                token lists and vectors, or an array of shape (n, vector_size). The tokens of one query are a list in a
                list: find_similar([["two", "tokens"]]). Long lists are split into several calls.
            top_k: Documents per query, 1 to `Limits.max_top_k`.
            options: How to infer the vectors of texts and tokens; the model's defaults if None.
            lexical_weight: How much the words of texts and tokens count beside their vectors, 0 to 1. None: a server
                whose model has a lexical index chooses it for each query, others weigh no words.

        Raises:
            UnsupportedError: The model has no training documents, or no lexical index for a weight above 0.
            InvalidArgumentError: A query or an option is invalid; `violations` names it.
            ParavecError: Any other failure.
        """
        settings = call_settings(timeout, metadata)
        if (query := single_query(queries)) is not None:
            return self._runner.run(self._programs.find_similar([query], top_k, options, lexical_weight, settings))[0]
        values = plain_values(cast(Iterable[Query], queries), "queries")
        return self._runner.run(self._programs.find_similar(values, top_k, options, lexical_weight, settings))

    def document_vectors(
        self, tags: Tag | Iterable[Tag], *, timeout: float | None = None, metadata: MetadataLike | None = None
    ) -> Vector:
        """The vectors that training gave to documents: float32 of shape (vector_size,) for one tag, else
        (n, vector_size).

        They are as training left them: not normalized.

        Raises:
            NotFoundError: No training document has one of the tags; `violations` names the first 64 of a call.
            UnsupportedError: The model has no training documents, or the server is older than this call.
            ParavecError: Any other failure.
        """
        settings = call_settings(timeout, metadata)
        if isinstance(tags, str | int):
            vector: Vector = self._runner.run(self._programs.document_vectors([tags], settings))[0]
            return vector
        return self._runner.run(self._programs.document_vectors(plain_values(tags, "tags"), settings))

    def model(self, *, timeout: float | None = None, metadata: MetadataLike | None = None) -> ModelInfo:
        """The model that the server holds, its default options and the server's limits."""
        return self._runner.run(self._programs.model(call_settings(timeout, metadata)))

    def health(
        self, service: str = SERVICE, *, timeout: float | None = None, metadata: MetadataLike | None = None
    ) -> str:
        """Status of a service by grpc.health.v1: SERVING, NOT_SERVING or SERVICE_UNKNOWN; "" is the whole process."""
        return self._runner.run(self._programs.health(service, call_settings(timeout, metadata)))

    def wait_until_ready(self, timeout: float = 60.0, *, metadata: MetadataLike | None = None) -> None:
        """Wait until the server is ready to embed; DeadlineError after `timeout` seconds."""
        self._runner.run(self._programs.wait_until_ready(timeout, call_settings(None, metadata)))
