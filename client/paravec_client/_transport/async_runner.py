"""Runs programs with awaited calls of grpc.aio."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import grpc

from .._protocol.calls import Call, Program, Sleep, Step
from .._protocol.stream import BatchResult, StreamBatcher
from ..config import ClientConfig
from ..errors import CancelledError
from ..types import Document
from .connection import Connection

T = TypeVar("T")


class AsyncRunner:
    """Performs the steps of programs: calls through its connection, and sleeps. `SyncRunner` for asyncio."""

    def __init__(self, config: ClientConfig, channel: grpc.aio.Channel | None, interceptors: Sequence[Any]) -> None:
        self._in_flight = config.batch.in_flight
        self._connection = Connection(config, grpc.aio, channel, interceptors)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._connection.closed

    async def close(self) -> None:
        """Close the connection. Calls in progress are cancelled."""
        for channel in self._connection.close():
            await channel.close()

    async def run(self, program: Program[T]) -> T:
        """The result of a program."""
        try:
            step = next(program)
            while True:
                try:
                    response = await self._perform(step)
                except grpc.RpcError as error:
                    step = program.throw(self._connection.failure(error, cast(Call, step)))
                else:
                    step = program.send(response)
        except StopIteration as end:
            result: T = end.value
            return result

    async def run_all(self, programs: Sequence[Program[T]]) -> list[T]:
        """The results of programs, in order. A few of them run at the same time (`Batch.in_flight`)."""
        if len(programs) == 1:
            return [await self.run(programs[0])]
        iterator = iter(programs)

        async def next_program(_: bool) -> Program[T] | None:
            return next(iterator, None)

        return [result async for result in self._run_in_order(next_program)]

    async def stream(
        self, opening: Program[StreamBatcher], documents: AsyncIterable[Document]
    ) -> AsyncGenerator[Any, None]:
        """The outcomes of documents, in order. `opening` makes the batcher."""
        batcher = await self.run(opening)
        reader = _DocumentReader(batcher, documents)
        results = self._run_in_order(reader.next_batch)
        try:
            async for result in results:
                for outcome in batcher.outcomes(result):
                    yield outcome
        finally:
            await results.aclose()
            await reader.close()
        if batcher.source_error:
            # The documents before the error have their outcomes; now the error reaches the caller.
            raise batcher.source_error

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Sleep):
            return await asyncio.sleep(step.seconds)
        try:
            call = self._connection.begin(step)
            return [response async for response in call] if step.method.streaming else await call
        except grpc.aio.UsageError as error:
            # grpc.aio raises it for a call on a closed channel.
            raise CancelledError("the client is closed", code="CANCELLED") from error
        except asyncio.CancelledError as error:
            # grpc.aio raises it for a call whose channel is closed, as well as for a cancelled task.
            if self._connection.closed:
                raise CancelledError("the client is closed", code="CANCELLED") from error
            raise

    async def _run_in_order(
        self, next_program: Callable[[bool], Awaitable[Program[T] | None]]
    ) -> AsyncGenerator[T, None]:
        """The results of programs, in order, while a few of them run. `next_program` receives True if none runs."""
        running: deque[asyncio.Task[T]] = deque()
        try:
            while True:
                while len(running) < self._in_flight and (program := await next_program(not running)):
                    running.append(asyncio.create_task(self.run(program)))
                if not running:
                    return
                yield await running[0]
                running.popleft()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


class _DocumentReader:
    """Reads a stream's documents into its batcher, in a task, until two batches are queued."""

    def __init__(self, batcher: StreamBatcher, documents: AsyncIterable[Document]) -> None:
        self._batcher, self._documents = batcher, documents
        self._added, self._removed = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._read())

    async def next_batch(self, idle: bool) -> Program[BatchResult] | None:
        """The next batch's program, or None if none is due. If `idle`, waits for one; then None is the end."""
        while not (program := self._batcher.next_batch(idle)) and idle and not self._batcher.source_ended:
            self._added.clear()
            await self._added.wait()
        self._removed.set()
        return program

    async def close(self) -> None:
        """Stop reading."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for document in self._documents:
                self._batcher.add(document)
                self._added.set()
                while self._batcher.full:
                    self._removed.clear()
                    await self._removed.wait()
        except BaseException as error:
            # Includes SystemExit and CancelledError from the documents. After `close` nobody looks at it.
            self._batcher.source_error = error
        finally:
            self._batcher.source_ended = True
            self._added.set()
