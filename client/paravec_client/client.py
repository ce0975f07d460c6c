"""The synchronous client."""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast, overload

import grpc

from paravec.v1 import embedding_pb2 as pb

from ._protocol import messages, programs
from ._protocol.call_settings import CallSettings, MetadataLike, call_settings
from ._protocol.programs import SERVICE, Call, Core, Pause, Program, Step
from ._protocol.stream import Errors, Outcome, Stream, checked
from ._transport.connection import Connection, close_channel, configured
from ._transport.forks import FORKS
from .config import ClientConfig
from .errors import CancelledError, ForkedError
from .types import Document, Embedding, Embeddings, InferenceOptions, ModelInfo, Query, Similar, Vector

T = TypeVar("T")


class EmbeddingClient:
    """Embeds documents with the model that a paravec server holds::

        with EmbeddingClient("localhost:50051") as client:
            vector = client.embed("a text")             # float32, (vector_size,)
            vectors = client.embed(["a text", "another"])  # float32, (2, vector_size)

    A client may be shared by threads, and goes on in a forked process with a connection of its own. Every failure is a
    `ParavecError`. Each method that calls the server takes `timeout`, seconds for this call instead of the configured
    ones, and `metadata`, a dict or pairs of names and values that go with it: `x-request-id`, say, names the call in
    the server's log and in errors.
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
        """`target` and `timeout` (seconds for each call) go before those of `config`, or, if there is none, of the
        environment: `PARAVEC_TARGET` and its like (see `ClientConfig.from_environment`). ConfigError if they, its
        certificates or its token cannot be used.

        `channel`: one of the caller's own, which stays open when the client is closed; of `config`, target, tls,
        keepalive, use_proxy and health_checks then have no effect, and a token goes over it as it is.
        `interceptors`: gRPC's for clients, the first outermost.
        """
        self.config = configured(target, timeout, config)
        self._core = Core(self.config)
        self._connection = Connection(self.config, grpc, channel, interceptors)

    def __repr__(self) -> str:
        return f"<EmbeddingClient {self.config.target}{' closed' if self._connection.closed else ''}>"

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
        """The vector of one text, (vector_size,), or of several documents, (n, vector_size), as float32.

        Several are a list, a generator, or a column of numpy, pandas, polars or pyarrow; each document a text or a list
        of tokens. They are sent in several calls, a few at once, if there are many. A document at fault raises
        InvalidArgumentError, whose violations say which.
        """
        if (text := messages.one_text(documents)) is not None:
            return self.embed_all([text], options, timeout=timeout, metadata=metadata)[0].vector
        return self.embed_all(documents, options, timeout=timeout, metadata=metadata).vectors

    def embed_all(
        self, documents: Iterable[Document], options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Embeddings:  # fmt: skip
        """Like `embed` of several documents, with the token counts of each beside its vector.

        `numpy.asarray` of what it returns is the vectors, (n, vector_size).
        """
        calls = self._run(self._core.plan(documents, options, call_settings(timeout, metadata)))
        if len(calls) == 1:
            return self._run(calls[0])
        return programs.joined(list(self._ordered(programs.given(calls))))

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
        """Embed documents as they come, yielding the outcome of each, in order.

        `documents` is read on a thread of its own, only as fast as the server works, so it may be endless; a few
        batches of it are in memory. With errors="return" the ParavecError of a document at fault is yielded in its
        place; with "raise" it is raised and ends the stream. What `documents` itself raises is raised after the
        outcomes of what came before. `timeout` is for each try of a batch.

        What a server refuses or loses is sent again, until no server has answered over `timeout` seconds of pauses.
        ModelChangedError if the servers have moved to another model.
        """
        # Arguments are looked at now, and not when the first outcome is asked for.
        listed, message = messages.listed(documents), messages.options_message(options)
        return self._stream(listed, message, checked(errors), call_settings(timeout, metadata))

    def _stream(
        self, documents: Iterable[Document], options: pb.InferenceOptions, errors: Errors, settings: CallSettings
    ) -> Generator[Any, None, None]:
        stream = Stream(self._core, self._run(self._core.limits(settings)), options, errors, settings)
        with closing(_Reader(stream, documents)) as reader, closing(self._ordered(reader.next)) as answers:
            for answered in answers:
                yield from stream.outcomes(answered)
        if stream.failure:
            # The documents' own iterator failed: what was read is answered, now its error is the caller's.
            raise stream.failure

    # A text, and an array of one dimension, are sequences of queries, too, but are not taken for such.
    @overload
    def find_similar(  # type: ignore[overload-overlap]
        self, queries: str, top_k: int = 10, options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Similar: ...  # fmt: skip
    @overload
    def find_similar(
        self, queries: Vector, top_k: int = 10, options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Any: ...  # fmt: skip
    @overload
    def find_similar(
        self, queries: Iterable[Query], top_k: int = 10, options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> list[Similar]: ...  # fmt: skip
    @overload
    def find_similar(
        self, queries: Sequence[float], top_k: int = 10, options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Similar: ...  # fmt: skip

    def find_similar(
        self, queries: str | Sequence[float] | Iterable[Query], top_k: int = 10,
        options: InferenceOptions | None = None, *,
        timeout: float | None = None, metadata: MetadataLike | None = None,
    ) -> Similar | list[Similar]:  # fmt: skip
        """The training documents nearest to one text or vector, or to each query of a list: texts, tokens or vectors.

        A vector is an array of shape (vector_size,) or a list of numbers; an array of shape (n, vector_size) is a list
        of them. Tokens go in a list of their own: find_similar([["two", "tokens"]]). More queries than the server takes
        in one call are split over several. UnsupportedError if the server's model carries no documents.
        """
        settings = call_settings(timeout, metadata)
        if (one := messages.one_query(queries)) is not None:
            return self._run(self._core.find_similar([one], top_k, options, settings))[0]
        several = messages.listed(cast(Iterable[Query], queries), "queries")
        return self._run(self._core.find_similar(several, top_k, options, settings))

    def model(self, *, timeout: float | None = None, metadata: MetadataLike | None = None) -> ModelInfo:
        """The model that the server holds, its defaults and the server's limits."""
        return self._run(self._core.model(call_settings(timeout, metadata)))

    def health(
        self, service: str = SERVICE, *, timeout: float | None = None, metadata: MetadataLike | None = None
    ) -> str:
        """The server's own word on a service: SERVING, NOT_SERVING or SERVICE_UNKNOWN; "" asks for the process."""
        return self._run(self._core.health(service, call_settings(timeout, metadata)))

    def wait_until_ready(self, timeout: float = 60.0, *, metadata: MetadataLike | None = None) -> None:
        """Return once the server has its model loaded and warm; DeadlineError after `timeout` seconds."""
        self._run(self._core.wait_until_ready(timeout, call_settings(None, metadata)))

    def _run(self, program: Program[T], step: Step | None = None, answer: Any = None) -> T:
        """Do what the program says. `step` is its first, if it has begun, and `answer` gRPC's future for that."""
        try:
            step = step or next(program)
            while True:
                try:
                    response = answer.result() if answer else self._answer(step)
                except grpc.RpcError as error:
                    step = program.throw(self._connection.failure(error, cast(Call, step)))
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
                    running.append((program, step, self._begin_future(step) if isinstance(step, Call) else None))
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
        FORKS.enter()
        try:
            answer = self._begin(step)
            return list(answer) if step.method.streams else answer
        finally:
            FORKS.leave()

    def _begin_future(self, step: Call) -> Any:
        FORKS.enter()
        try:
            answer = self._begin(step, future=True)
        except BaseException:
            FORKS.leave()
            raise
        answer.add_done_callback(lambda _: FORKS.leave())
        return answer

    def _begin(self, step: Call, *, future: bool = False) -> Any:
        try:
            return self._connection.begin(step, future=future)
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
        self._process = os.getpid()
        Thread(target=self._read, name="paravec-reader", daemon=True).start()

    def next(self, idle: bool) -> Program[Any] | None:
        """The next batch's program, if it is time for one; waits for it if nothing is in flight. None at the end."""
        if self._process != os.getpid():
            # Its thread is not here.
            raise ForkedError
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
        except BaseException as error:
            # SystemExit and KeyboardInterrupt, too, are the caller's.
            stream.failure = error
        finally:
            stream.ended = True
            self._tell()
