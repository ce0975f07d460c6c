"""The synchronous client."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from collections import deque
from threading import Condition, Event, Thread
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

import grpc

from . import core
from .config import ClientConfig
from .connection import Connection, configured
from .core import SERVICE, Call, Core, Pause, Program
from .errors import CancelledError, ParavecError, from_call
from .stream import Outcome, Stream
from .types import Document, Embedding, Embeddings, InferenceOptions, ModelInfo, Vector

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
        keepalive and health_checks then have no effect. `interceptors`: gRPC's client interceptors, the first outermost.
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
            channel.close()

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
            return self.embed_all([documents], options).vectors[0]
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
        stream = Stream(self._core, self._run(self._core.limits()), options, errors)
        reader = _Reader(stream, documents)
        try:
            for answered in self._ordered(reader.next):
                yield from stream.outcomes(answered)
        finally:
            reader.close()
        if stream.failure:
            # The documents' own iterator failed: what was read is answered, now its error is the caller's.
            raise stream.failure

    def model(self) -> ModelInfo:
        """The model that the server holds, its defaults and the server's limits."""
        return self._run(self._core.model())

    def health(self, service: str = SERVICE, *, timeout: float | None = None) -> str:
        """The server's own word on a service: SERVING, NOT_SERVING or SERVICE_UNKNOWN; "" asks for the process."""
        return self._run(self._core.health(service, timeout))

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Return once the server has its model loaded and warm; DeadlineError after `timeout` seconds."""
        self._run(self._core.wait_until_ready(timeout))

    def _run(self, program: Program[T]) -> T:
        """Do what the program says, on the caller's thread."""
        return _run(program, self._begin, Event())

    def _begin(self, call: Call, *, future: bool = False) -> Any:
        """The response of a call, or the call as gRPC's future. A stream's responses come at once, as an iterator."""
        method, metadata = self._connection.method(call.method)
        if call.method.streams:
            return method(iter(call.request), timeout=call.timeout, metadata=metadata)
        return (method.future if future else method)(call.request, timeout=call.timeout, metadata=metadata)

    def _ordered(self, next_program: Callable[[bool], Program[T] | None]) -> Iterator[T]:
        """What programs return, in their order, while a few of them run; `next_program` is told if none does."""
        running: deque[Future[T]] = deque()
        crew = _Crew(self._begin, self.config.batch.in_flight)
        try:
            while True:
                while len(running) < self.config.batch.in_flight and (program := next_program(not running)):
                    running.append(crew.submit(program))
                if not running:
                    return
                yield running.popleft().result()
        finally:
            crew.close()


def _run(program: Program[T], do: Callable[[Call], Any], stopped: Event) -> T:
    """Run a program to its end, or until it is stopped, which is a CancelledError."""
    try:
        step = next(program)
        while True:
            if isinstance(step, Pause):
                if stopped.wait(step.seconds):
                    raise CancelledError("the stream was left", code="CANCELLED")
                step = next(program)
                continue
            try:
                response = do(step)
                if step.method.streams:
                    response = list(response)
            except grpc.RpcError as error:
                failure = from_call(error)
                failure.__cause__ = error
                step = program.throw(failure)
            except ValueError as error:
                raise CancelledError("the client is closed", code="CANCELLED") from error
            else:
                step = program.send(response)
    except StopIteration as end:
        result: T = end.value
        return result


class _Crew:
    """Threads that run programs, and can be stopped in the middle of them."""

    def __init__(self, begin: Callable[..., Any], count: int) -> None:
        self._begin = begin
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="paravec")
        self._stopped = Event()
        self._calls: set[Any] = set()

    def submit(self, program: Program[T]) -> Future[T]:
        """Run a program."""
        return self._pool.submit(_run, program, self._do, self._stopped)

    def close(self) -> None:
        """Cancel what is running, and wait for the threads to end."""
        self._stopped.set()
        for call in list(self._calls):
            call.cancel()
        self._pool.shutdown(cancel_futures=True)

    def _do(self, step: Call) -> Any:
        call = self._begin(step, future=True)
        self._calls.add(call)
        try:
            if self._stopped.is_set():
                call.cancel()
            return list(call) if step.method.streams else call.result()
        except grpc.FutureCancelledError:
            raise CancelledError("the stream was left", code="CANCELLED") from None
        finally:
            self._calls.discard(call)


class _Reader:
    """Reads a stream's documents, on a thread of its own, as far as there is room for them."""

    def __init__(self, stream: Stream, documents: Iterable[Document]) -> None:
        self._stream, self._documents = stream, documents
        self._changed = Condition()
        Thread(target=self._read, name="paravec-reader", daemon=True).start()

    def next(self, idle: bool) -> Program[Any] | None:
        """The next batch's program, if it is time for one; waits for it if nothing is in flight. None at the end."""
        with self._changed:
            while not (program := self._stream.next(idle)) and idle and not self._stream.ended:
                self._changed.wait()
            self._changed.notify_all()
            return program

    def close(self) -> None:
        """Read no more. A source that gives nothing holds its thread until it does."""
        with self._changed:
            self._stream.ended = True
            self._changed.notify_all()

    def _read(self) -> None:
        stream, failure = self._stream, None
        try:
            for document in self._documents:
                with self._changed:
                    self._changed.wait_for(lambda: stream.ended or not stream.full)
                    if stream.ended:
                        return
                    stream.add(document)
                    self._changed.notify_all()
        except Exception as error:
            failure = error
        finally:
            with self._changed:
                stream.failure, stream.ended = failure, True
                self._changed.notify_all()
