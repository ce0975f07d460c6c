"""The asynchronous client."""

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast, overload

import grpc

from paravec.v1 import embedding_pb2 as pb

from ._protocol import messages, programs
from ._protocol.call_settings import CallSettings, MetadataLike, call_settings
from ._protocol.programs import SERVICE, Call, Core, Pause, Program, Step
from ._protocol.stream import Errors, Outcome, Stream, checked
from ._transport.connection import Connection, configured
from .client import EmbeddingClient
from .config import ClientConfig
from .errors import CancelledError
from .types import Document, Embedding, Embeddings, InferenceOptions, ModelInfo, Query, Similar, Vector

T = TypeVar("T")


class AsyncEmbeddingClient:
    """`EmbeddingClient` for asyncio: the same methods, as coroutines::

        async with AsyncEmbeddingClient("localhost:50051") as client:
            vector = await client.embed("a text")
            async for embedding in client.embed_stream(texts):
                ...

    A client belongs to the event loop that it is used in; once that is closed, it goes on in another with a connection
    of its own. Every failure is a `ParavecError`.
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
        """As for `EmbeddingClient`, with a channel or interceptors of grpc.aio; not both, since such a channel is made
        with its interceptors."""
        self.config = configured(target, timeout, config)
        self._core = Core(self.config)
        self._connection = Connection(self.config, grpc.aio, channel, interceptors)

    def __repr__(self) -> str:
        return f"<AsyncEmbeddingClient {self.config.target}{' closed' if self._connection.closed else ''}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connection up. Calls in progress are cancelled."""
        for channel in self._connection.close():
            await channel.close()

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
        if (text := messages.one_text(documents)) is not None:
            return (await self.embed_all([text], options, timeout=timeout, metadata=metadata))[0].vector
        return (await self.embed_all(documents, options, timeout=timeout, metadata=metadata)).vectors

    async def embed_all(
        self, documents: Iterable[Document], options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Embeddings:  # fmt: skip
        calls = await self._run(self._core.plan(documents, options, call_settings(timeout, metadata)))
        if len(calls) == 1:
            return await self._run(calls[0])
        next_program = programs.given(calls)

        async def following(idle: bool) -> Program[Embeddings] | None:
            return next_program(idle)

        return programs.joined([part async for part in self._ordered(following)])

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
        """`documents` may be asynchronous, too; if it is not, it is read in the event loop, and holds it up if it is
        slow. To leave a stream early and be sure that it ends at once, use `contextlib.aclosing`.
        """
        coming = documents if isinstance(documents, AsyncIterable) else _each(messages.listed(documents))
        return self._stream(
            coming, messages.options_message(options), checked(errors), call_settings(timeout, metadata)
        )

    async def _stream(
        self, documents: AsyncIterable[Document], options: pb.InferenceOptions, errors: Errors, settings: CallSettings
    ) -> AsyncGenerator[Any, None]:
        stream = Stream(self._core, await self._run(self._core.limits(settings)), options, errors, settings)
        reader = _Reader(stream, documents)
        answers = self._ordered(reader.next)
        try:
            async for answered in answers:
                for outcome in stream.outcomes(answered):
                    yield outcome
        finally:
            await answers.aclose()
            await reader.close()
        if stream.failure:
            raise stream.failure

    # A text, and an array of one dimension, are sequences of queries, too, but are not taken for such.
    @overload
    async def find_similar(  # type: ignore[overload-overlap]
        self, queries: str, top_k: int = 10, options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Similar: ...  # fmt: skip
    @overload
    async def find_similar(
        self, queries: Vector, top_k: int = 10, options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Any: ...  # fmt: skip
    @overload
    async def find_similar(
        self, queries: Iterable[Query], top_k: int = 10, options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> list[Similar]: ...  # fmt: skip
    @overload
    async def find_similar(
        self, queries: Sequence[float], top_k: int = 10, options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Similar: ...  # fmt: skip

    async def find_similar(
        self, queries: str | Sequence[float] | Iterable[Query], top_k: int = 10,
        options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Similar | list[Similar]:  # fmt: skip
        settings = call_settings(timeout, metadata)
        if (one := messages.one_query(queries)) is not None:
            return (await self._run(self._core.find_similar([one], top_k, options, settings)))[0]
        several = messages.listed(cast(Iterable[Query], queries), "queries")
        return await self._run(self._core.find_similar(several, top_k, options, settings))

    async def model(self, *, timeout: float | None = None, metadata: MetadataLike | None = None) -> ModelInfo:
        return await self._run(self._core.model(call_settings(timeout, metadata)))

    async def health(
        self, service: str = SERVICE, *, timeout: float | None = None, metadata: MetadataLike | None = None
    ) -> str:
        return await self._run(self._core.health(service, call_settings(timeout, metadata)))

    async def wait_until_ready(self, timeout: float = 60.0, *, metadata: MetadataLike | None = None) -> None:
        await self._run(self._core.wait_until_ready(timeout, call_settings(None, metadata)))

    async def _run(self, program: Program[T]) -> T:
        """Do what the program says."""
        try:
            step = next(program)
            while True:
                try:
                    response = await self._answer(step)
                except grpc.RpcError as error:
                    step = program.throw(self._connection.failure(error, cast(Call, step)))
                else:
                    step = program.send(response)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _answer(self, step: Step) -> Any:
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        try:
            call = self._connection.begin(step)
            return [response async for response in call] if step.method.streams else await call
        except grpc.aio.UsageError as error:
            raise CancelledError("the client is closed", code="CANCELLED") from error
        except asyncio.CancelledError as error:
            # Of a call whose channel was closed, grpc.aio says the same as of a task that was cancelled.
            if self._connection.closed:
                raise CancelledError("the client is closed", code="CANCELLED") from error
            raise

    async def _ordered(self, next_program: Callable[[bool], Awaitable[Program[T] | None]]) -> AsyncGenerator[T, None]:
        """What programs return, in their order, while a few of them run; `next_program` is told if none does."""
        running: deque[asyncio.Task[T]] = deque()
        try:
            while True:
                while len(running) < self.config.batch.in_flight and (program := await next_program(not running)):
                    running.append(asyncio.create_task(self._run(program)))
                if not running:
                    return
                yield await running[0]
                running.popleft()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


class _Reader:
    """Reads a stream's documents, in a task of its own, as far as there is room for them."""

    def __init__(self, stream: Stream, documents: AsyncIterable[Document]) -> None:
        self._stream, self._documents = stream, documents
        self._came, self._room = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._read())

    async def next(self, idle: bool) -> Program[Any] | None:
        """The next batch's program, if it is time for one; waits for it if nothing is in flight. None at the end."""
        while not (program := self._stream.next(idle)) and idle and not self._stream.ended:
            self._came.clear()
            await self._came.wait()
        self._room.set()
        return program

    async def close(self) -> None:
        """Read no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for document in self._documents:
                self._stream.add(document)
                self._came.set()
                while self._stream.full:
                    self._room.clear()
                    await self._room.wait()
        except BaseException as error:
            # SystemExit and CancelledError, too, are the caller's. Those of `close` nobody hears.
            self._stream.failure = error
        finally:
            self._stream.ended = True
            self._came.set()


async def _each(documents: Iterable[Document]) -> AsyncIterator[Document]:
    for document in documents:
        yield document


for _name, _method in list(vars(AsyncEmbeddingClient).items()):
    # What the two have in common is said once, and told by help() of both.
    if (_shared := getattr(EmbeddingClient, _name, None)) and not _name.startswith("_"):
        _method.__doc__ = "\n\n".join(filter(None, map(inspect.getdoc, (_shared, _method))))
