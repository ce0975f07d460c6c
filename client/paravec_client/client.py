"""The synchronous client."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

import grpc

from . import core, wire
from .config import ClientConfig
from .connection import Connection, close_channel, configured
from .core import SERVICE, Call, Core, Pause, Program, Step
from .errors import CancelledError, from_call
from .stream import Outcome, Stream
from .types import Document, Embedding, Embeddings, InferenceOptions, ModelInfo, Query, Similar, Vector

T = TypeVar("T")


class EmbeddingClient:
    """Embeds documents with the model that a paravec server holds.

        with EmbeddingClient("localhost:50051") as client:
            vector = client.embed("a text")             # float32, (vector_size,)
            vectors = client.embed(["a text", "another"])  # float32, (2, vector_size)

    A client may be shared by threads, and not be taken into a forked process. Every failure is a `ParavecError`.
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
        """`target` and `timeout` (seconds for each call) go before those of `config`; ConfigError if its certificates
        or token cannot be used.

        `channel`: one of the caller's own, which stays open when the client is closed; of `config`, target, tls,
        keepalive and health_checks then have no effect. `interceptors`: gRPC's for clients, the first outermost.
        """
        self.config = configured(target, timeout, config)
        self._core = Core(self.config)
        self._connection = Connection(self.config, grpc, channel, interceptors)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection up. Calls in progress are cancelled."""
        for channel in self._connection.close():
            close_channel(channel)

    @overload
    def embed(self, documents: str, options: InferenceOptions | None = None) -> Vector: ...
    @overload
    def embed(self, documents: Iterable[Document], options: InferenceOptions | None = None) -> Vector: ...

    def embed(self, documents: str | Iterable[Document], options: InferenceOptions | None = None) -> Vector:
        """The vector of one text, (vector_size,), or of several documents, (n, vector_size), as float32.

        Several are a list, a generator, or a column of numpy, pandas, polars or pyarrow; each document a text or a list
        of tokens. They are sent in several calls, a few at once, if there are many. A document at fault raises
        InvalidArgumentError, whose violations say which.
        """
        if isinstance(documents, str):
            return self.embed_all([documents], options)[0].vector
        return self.embed_all(documents, options).vectors

    def embed_all(self, documents: Iterable[Document], options: InferenceOptions | None = None) -> Embeddings:
        """Like `embed` of several documents, with the token counts of each beside its vector."""
        programs = self._run(self._core.plan(documents, options))
        if len(programs) == 1:
            return self._run(programs[0])
        return core.joined(list(self._ordered(core.given(programs))))

    @overload
    def embed_stream(
        self, documents: Iterable[Document], options: InferenceOptions | None = None
    ) -> Generator[Embedding, None, None]: ...
    @overload
    def embed_stream(
        self, documents: Iterable[Document], options: InferenceOptions | None = None, *, errors: Literal["raise"]
    ) -> Generator[Embedding, None, None]: ...
    @overload
    def embed_stream(
        self, documents: Iterable[Document], options: InferenceOptions | None = None, *, errors: Literal["return"]
    ) -> Generator[Outcome, None, None]: ...

    def embed_stream(
        self,
        documents: Iterable[Document],
        options: InferenceOptions | None = None,
        *,
        errors: Literal["raise", "return"] = "raise",
    ) -> Generator[Any, None, None]:
        """Embed documents as they come, yielding the outcome of each, in order.

        `documents` is read on a thread of its own, only as fast as the server works, so it may be endless; a few
        batches of it are in memory. With errors="return" the ParavecError of a document at fault is yielded in its
        place; with "raise" it is raised and ends the stream.

        What a server refuses or loses is sent again, until no server has answered over `ClientConfig.timeout` seconds
        of pauses. ModelChangedError if the servers have moved to another model.
        """
        listed = wire.listed(documents)
        stream = Stream(self._core, self._run(self._core.limits()), options, errors)
        with closing(_Reader(stream, listed)) as reader, closing(self._ordered(reader.next)) as answers:
            for answered in answers:
                yield from stream.outcomes(answered)
        if stream.failure:
            # The documents' own iterator failed: what was read is answered, now its error is the caller's.
            raise stream.failure

    @overload  # A text is a sequence of texts, too, but is not taken for one.
    def find_similar(  # type: ignore[overload-overlap]
        self, queries: str, top_k: int = 10, options: InferenceOptions | None = None
    ) -> Similar: ...
    @overload
    def find_similar(
        self, queries: Iterable[Query], top_k: int = 10, options: InferenceOptions | None = None
    ) -> list[Similar]: ...

    def find_similar(
        self, queries: str | Iterable[Query], top_k: int = 10, options: InferenceOptions | None = None
    ) -> Similar | list[Similar]:
        """The training documents nearest to one text, or to each query of a list: a text, tokens, or a vector.

        More queries than the server takes in one call are split over several; an array of vectors, (n, vector_size),
        does for a list. UnsupportedError if the server's model carries no documents.
        """
        if isinstance(queries, str):
            return self._run(self._core.find_similar([queries], top_k, options))[0]
        return self._run(self._core.find_similar(queries, top_k, options))

    def model(self) -> ModelInfo:
        """The model that the server holds, its defaults and the server's limits."""
        return self._run(self._core.model())

    def health(self, service: str = SERVICE, *, timeout: float | None = None) -> str:
        """The server's own word on a service: SERVING, NOT_SERVING or SERVICE_UNKNOWN; "" asks for the process."""
        return self._run(self._core.health(service, timeout))

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Return once the server has its model loaded and warm; DeadlineError after `timeout` seconds."""
        self._run(self._core.wait_until_ready(timeout))

    def _run(self, program: Program[T], step: Step | None = None, answer: Any = None) -> T:
        """Do what the program says. `step` is its first, if it has begun, and `answer` gRPC's future for that."""
        try:
            step = step or next(program)
            while True:
                try:
                    response = answer.result() if answer else self._answer(step)
                except grpc.RpcError as error:
                    step = program.throw(from_call(error))
                else:
                    step = program.send(response)
                answer = None
        except StopIteration as end:
            result: T = end.value
            return result

    def _ordered(self, next_program: Callable[[bool], Program[T] | None]) -> Generator[T, None, None]:
        """What programs return, in their order, while the first calls of a few of them are under way.

        `next_program` is told if none is. What a program does beyond its first call, if that failed, it does when its
        turn comes; so it takes no threads.
        """
        running: deque[tuple[Program[T], Step, Any]] = deque()
        try:
            while True:
                while len(running) < self.config.batch.in_flight and (program := next_program(not running)):
                    step = next(program)
                    running.append((program, step, self._begin(step, future=True) if isinstance(step, Call) else None))
                if not running:
                    return
                yield self._run(*running.popleft())
        finally:
            for *_, answer in running:
                if answer:
                    answer.cancel()

    def _answer(self, step: Step) -> Any:
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        answer = self._begin(step)
        return list(answer) if step.method.streams else answer

    def _begin(self, step: Call, *, future: bool = False) -> Any:
        method, metadata = self._connection.method(step.method)
        begin = method.future if future else method
        request = iter(step.request) if step.method.streams else step.request
        try:
            return begin(request, timeout=step.timeout, metadata=metadata)
        except ValueError as error:
            raise CancelledError("the client is closed", code="CANCELLED") from error


class _Reader:
    """Reads a stream's documents, on a thread of its own, as far as there is room for them.

    Each side tells the other only if that one waits: to take a lock for each document would cost as much as to read it.
    """

    def __init__(self, stream: Stream, documents: Iterable[Document]) -> None:
        self._stream, self._documents = stream, documents
        self._changed = Condition()
        self._awaited = False
        self._closed = False
        Thread(target=self._read, name="paravec-reader", daemon=True).start()

    def next(self, idle: bool) -> Program[Any] | None:
        """The next batch's program, if it is time for one; waits for it if nothing is in flight. None at the end."""
        if not (program := self._stream.next(idle)) and idle:
            with self._changed:
                self._awaited = True
                self._changed.wait_for(self._has_news)
                self._awaited = False
            program = self._stream.next(idle)
        self._tell()
        return program

    def close(self) -> None:
        """Read no more. A source that gives nothing holds its thread until it does."""
        self._closed = True
        self._tell()

    def _has_news(self) -> bool:
        return self._stream.ended or not self._stream.empty

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _read(self) -> None:
        stream = self._stream
        try:
            for document in self._documents:
                if stream.full:
                    with self._changed:
                        self._changed.wait_for(lambda: self._closed or not stream.full)
                if self._closed:
                    return
                stream.add(document)
                if self._awaited:
                    self._tell()
        except Exception as error:
            stream.failure = error
        finally:
            stream.ended = True
            self._tell()
