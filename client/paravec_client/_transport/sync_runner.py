"""Runs programs with blocking calls of grpc."""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from threading import Condition, Thread
from typing import Any, TypeVar, cast

import grpc

from .._protocol.calls import Call, Program, Sleep, Step
from .._protocol.stream import BatchResult, StreamBatcher
from ..config import ClientConfig
from ..errors import CancelledError, ForkedError
from ..types import Document
from .connection import Connection, close_channel
from .forks import fork_registry

T = TypeVar("T")


class SyncRunner:
    """Performs the steps of programs: calls through its connection, and sleeps."""

    def __init__(self, config: ClientConfig, channel: grpc.Channel | None, interceptors: Sequence[Any]) -> None:
        self._in_flight = config.batch.in_flight
        self._connection = Connection(config, grpc, channel, interceptors)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._connection.closed

    def close(self) -> None:
        """Close the connection. Calls in progress are cancelled."""
        for channel in self._connection.close():
            close_channel(channel)

    def run(self, program: Program[T], step: Step | None = None, future: Any = None) -> T:
        """The result of a program. If its first step has begun, that is `step`, and `future` is its call."""
        try:
            step = step or next(program)
            while True:
                try:
                    response = future.result() if future else self._perform(step)
                except grpc.RpcError as error:
                    step = program.throw(self._connection.failure(error, cast(Call, step)))
                else:
                    step = program.send(response)
                future = None
        except StopIteration as end:
            result: T = end.value
            return result

    def run_all(self, programs: Sequence[Program[T]]) -> list[T]:
        """The results of programs, in order. A few of their calls run at the same time (`Batch.in_flight`)."""
        if len(programs) == 1:
            return [self.run(programs[0])]
        iterator = iter(programs)
        return list(self._run_in_order(lambda _: next(iterator, None)))

    def stream(self, opening: Program[StreamBatcher], documents: Iterable[Document]) -> Generator[Any, None, None]:
        """The outcomes of documents, in order. `opening` makes the batcher."""
        batcher = self.run(opening)
        reader = _DocumentReader(batcher, documents)
        with closing(reader), closing(self._run_in_order(reader.next_batch)) as results:
            for result in results:
                yield from batcher.outcomes(result)
        if batcher.source_error:
            # The documents before the error have their outcomes; now the error reaches the caller.
            raise batcher.source_error

    def _run_in_order(self, next_program: Callable[[bool], Program[T] | None]) -> Generator[T, None, None]:
        """The results of programs, in order, while the first calls of a few of them are in flight.

        `next_program` receives True if none is in flight. Only the first step of a program runs ahead; the rest, such
        as a retry, runs when its result is due. So no threads are needed.
        """
        running: deque[tuple[Program[T], Step, Any]] = deque()
        try:
            while True:
                while len(running) < self._in_flight and (program := next_program(not running)):
                    step = next(program)
                    running.append((program, step, self._begin_future(step) if isinstance(step, Call) else None))
                if not running:
                    return
                yield self.run(*running.popleft())
        finally:
            for *_, future in running:
                if future:
                    future.cancel()

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Sleep):
            return time.sleep(step.seconds)
        fork_registry.begin_call()
        try:
            response = self._begin(step)
            return list(response) if step.method.streaming else response
        finally:
            fork_registry.end_call()

    def _begin_future(self, step: Call) -> Any:
        fork_registry.begin_call()
        try:
            future = self._begin(step, future=True)
        except BaseException:
            fork_registry.end_call()
            raise
        future.add_done_callback(lambda _: fork_registry.end_call())
        return future

    def _begin(self, step: Call, *, future: bool = False) -> Any:
        try:
            return self._connection.begin(step, future=future)
        except ValueError as error:
            # grpc raises it for a call on a closed channel.
            raise CancelledError("the client is closed", code="CANCELLED") from error


class _DocumentReader:
    """Reads a stream's documents into its batcher, on a thread, until two batches are queued.

    A side notifies the other only if it waits: a lock for each document would cost as much as reading it.
    """

    def __init__(self, batcher: StreamBatcher, documents: Iterable[Document]) -> None:
        self._batcher, self._documents = batcher, documents
        self._changed = Condition()
        self._consumer_waits = False
        self._closed = False
        self._process = os.getpid()
        Thread(target=self._read, name="paravec-reader", daemon=True).start()

    def next_batch(self, idle: bool) -> Program[BatchResult] | None:
        """The next batch's program, or None if none is due. If `idle`, waits for one; then None is the end."""
        if self._process != os.getpid():
            # The reader's thread does not exist in a forked process.
            raise ForkedError
        if not (program := self._batcher.next_batch(idle)) and idle:
            with self._changed:
                self._consumer_waits = True
                self._changed.wait_for(lambda: self._batcher.source_ended or not self._batcher.empty)
                self._consumer_waits = False
            program = self._batcher.next_batch(idle)
        self._notify()
        return program

    def close(self) -> None:
        """Stop reading. While the caller's iterator blocks, so does the thread."""
        self._closed = True
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _read(self) -> None:
        batcher = self._batcher
        try:
            for document in self._documents:
                if batcher.full:
                    with self._changed:
                        self._changed.wait_for(lambda: self._closed or not batcher.full)
                if self._closed:
                    return
                batcher.add(document)
                if self._consumer_waits:
                    self._notify()
        except BaseException as error:
            # Includes SystemExit and KeyboardInterrupt, which would otherwise end only this thread.
            batcher.source_error = error
        finally:
            batcher.source_ended = True
            self._notify()
