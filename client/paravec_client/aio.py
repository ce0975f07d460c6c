"""The asynchronous client."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, Self, cast, overload

import grpc

from ._protocol.call_settings import MetadataLike, call_settings
from ._protocol.calls import SERVICE
from ._protocol.messages import options_message, plain_values, single_query, single_text
from ._protocol.programs import CallPrograms, concatenate
from ._protocol.stream import Outcome, check_error_mode, open_stream
from ._transport.async_runner import AsyncRunner
from .client import EmbeddingClient
from .config import ClientConfig, resolve_config
from .types import Document, Embedding, Embeddings, InferenceOptions, ModelInfo, Query, SimilarDocuments, Tag, Vector


class AsyncEmbeddingClient:
    """`EmbeddingClient` for asyncio, with the same methods as coroutines::

        async with AsyncEmbeddingClient("localhost:50051") as client:
            vector = await client.embed("a text")
            async for embedding in client.embed_stream(texts):
                ...

    A client belongs to the event loop of its first call. Once that loop is closed, another one may use the client, with
    a new connection. Every error is a `ParavecError`.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        timeout: float | None = None,
        config: ClientConfig | None = None,
        channel: grpc.aio.Channel | None = None,
        interceptors: Sequence[Any] = (),
    ) -> None:
        """Arguments are those of `EmbeddingClient`, with a channel or interceptors of grpc.aio.

        Not both: a channel of grpc.aio takes its interceptors when it is made.
        """
        self.config = resolve_config(target, timeout, config)
        self._programs = CallPrograms(self.config)
        self._runner = AsyncRunner(self.config, channel, interceptors)

    def __repr__(self) -> str:
        return f"<AsyncEmbeddingClient {self.config.target}{' closed' if self._runner.closed else ''}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._runner.close()

    @overload
    async def embed(
        self, documents: str, options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Vector: ...  # fmt: skip
    @overload
    async def embed(
        self, documents: Iterable[Document], options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Vector: ...  # fmt: skip

    async def embed(
        self, documents: str | Iterable[Document], options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Vector:  # fmt: skip
        if (text := single_text(documents)) is not None:
            return (await self.embed_all([text], options, timeout=timeout, metadata=metadata))[0].vector
        return (await self.embed_all(documents, options, timeout=timeout, metadata=metadata)).vectors

    async def embed_all(
        self, documents: Iterable[Document], options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Embeddings:  # fmt: skip
        calls = await self._runner.run(self._programs.plan_embed(documents, options, call_settings(timeout, metadata)))
        return concatenate(await self._runner.run_all(calls))

    @overload
    def embed_stream(
        self, documents: Iterable[Document] | AsyncIterable[Document], options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> AsyncGenerator[Embedding, None]: ...  # fmt: skip
    @overload
    def embed_stream(
        self, documents: Iterable[Document] | AsyncIterable[Document], options: InferenceOptions | None = None, *,
        errors: Literal["raise"],
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> AsyncGenerator[Embedding, None]: ...  # fmt: skip
    @overload
    def embed_stream(
        self, documents: Iterable[Document] | AsyncIterable[Document], options: InferenceOptions | None = None, *,
        errors: Literal["return"],
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> AsyncGenerator[Outcome, None]: ...  # fmt: skip

    def embed_stream(
        self, documents: Iterable[Document] | AsyncIterable[Document], options: InferenceOptions | None = None, *,
        errors: Literal["raise", "return"] = "raise",
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> AsyncGenerator[Any, None]:  # fmt: skip
        """`documents` may also be an async iterable. Other iterables are read in the event loop, and block it if they
        are slow. To leave a stream early and end it at once, use `contextlib.aclosing`.
        """
        values = documents if isinstance(documents, AsyncIterable) else _async_iterator(plain_values(documents))
        message, settings = options_message(options), call_settings(timeout, metadata)
        return self._runner.stream(open_stream(self._programs, message, check_error_mode(errors), settings), values)

    # To a type checker a str and a 1-dimensional array are iterables of queries too, so the overloads overlap.
    @overload
    async def find_similar(  # type: ignore[overload-overlap]
        self, queries: str, top_k: int = 10, options: InferenceOptions | None = None, *,
        lexical_weight: float | None = None, timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> SimilarDocuments: ...  # fmt: skip
    @overload
    async def find_similar(
        self, queries: Vector, top_k: int = 10, options: InferenceOptions | None = None, *,
        lexical_weight: float | None = None, timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Any: ...  # fmt: skip
    @overload
    async def find_similar(
        self, queries: Iterable[Query], top_k: int = 10, options: InferenceOptions | None = None, *,
        lexical_weight: float | None = None, timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> list[SimilarDocuments]: ...  # fmt: skip
    @overload
    async def find_similar(
        self, queries: Sequence[float], top_k: int = 10, options: InferenceOptions | None = None, *,
        lexical_weight: float | None = None, timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> SimilarDocuments: ...  # fmt: skip

    async def find_similar(
        self, queries: str | Sequence[float] | Iterable[Query], top_k: int = 10,
        options: InferenceOptions | None = None, *, lexical_weight: float | None = None,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> SimilarDocuments | list[SimilarDocuments]:  # fmt: skip
        settings = call_settings(timeout, metadata)
        if (query := single_query(queries)) is not None:
            return (
                await self._runner.run(self._programs.find_similar([query], top_k, options, lexical_weight, settings))
            )[0]
        values = plain_values(cast(Iterable[Query], queries), "queries")
        return await self._runner.run(self._programs.find_similar(values, top_k, options, lexical_weight, settings))

    async def document_vectors(
        self, tags: Tag | Iterable[Tag], *, timeout: float | None = None, metadata: MetadataLike | None = None
    ) -> Vector:
        settings = call_settings(timeout, metadata)
        if isinstance(tags, str | int):
            vector: Vector = (await self._runner.run(self._programs.document_vectors([tags], settings)))[0]
            return vector
        return await self._runner.run(self._programs.document_vectors(plain_values(tags, "tags"), settings))

    async def model(self, *, timeout: float | None = None, metadata: MetadataLike | None = None) -> ModelInfo:
        return await self._runner.run(self._programs.model(call_settings(timeout, metadata)))

    async def health(
        self, service: str = SERVICE, *, timeout: float | None = None, metadata: MetadataLike | None = None
    ) -> str:
        return await self._runner.run(self._programs.health(service, call_settings(timeout, metadata)))

    async def wait_until_ready(self, timeout: float = 60.0, *, metadata: MetadataLike | None = None) -> None:
        await self._runner.run(self._programs.wait_until_ready(timeout, call_settings(None, metadata)))


async def _async_iterator(documents: Iterable[Document]) -> AsyncIterator[Document]:
    for document in documents:
        yield document


for _name, _method in list(vars(AsyncEmbeddingClient).items()):
    # A method's docstring is that of EmbeddingClient, plus its own, if any, for what differs.
    if (_shared := getattr(EmbeddingClient, _name, None)) and not _name.startswith("_"):
        _method.__doc__ = "\n\n".join(filter(None, map(inspect.getdoc, (_shared, _method))))
