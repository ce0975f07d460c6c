"""What goes between one call and gRPC's core."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from .pool import guarded

Start = Callable[[Any, Sequence[Any], Callable[[Any], None]], None]
"""Asks the core for operations on a call, and has a function called once they are done."""


class Answer(NamedTuple):
    """How a call ends."""

    data: bytes | None
    """The response; None if it failed."""
    code: grpc.StatusCode = grpc.StatusCode.OK
    text: str = ""
    trailers: tuple[tuple[str, str | bytes], ...] = ()


class Exchange:
    """What goes between one call and the core. To those who run the call it is what grpcio calls its context."""

    def __init__(self, start: Start, begun: Any) -> None:
        """`start`: asks the core; `begun`: what it said of the call."""
        self._start, self._call, self._deadline = start, begun.call, begun.call_details.deadline
        self._lock = threading.Lock()
        self._at_end: list[Callable[[], None]] | None = []
        self._watched = self._gone = False

    def is_active(self) -> bool:
        """Whether somebody waits for the answer; known of calls that are watched."""
        return not self._gone

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Have it called once nobody waits any more; False if that is so already."""
        with self._lock:
            if self._at_end is not None:
                self._at_end.append(callback)
            return self._at_end is not None

    def time_remaining(self) -> float:
        """Seconds until the caller's deadline."""
        return max(0.0, float(self._deadline) - time.time())

    def cancel(self) -> None:
        """End it as CANCELLED."""
        self._call.cancel()

    def receive(self, then: Callable[[bytes | None], None]) -> None:
        """Have `then` called with the message; with None if there is none, or nobody any more who sends it."""
        operations = (cygrpc.ReceiveMessageOperation(0),)
        self._start(self._call, operations, lambda told: then(told.batch_operations[0].message()))

    def watch(self) -> None:
        """Find out when the caller goes."""
        self._watched = True
        self._start(self._call, (cygrpc.ReceiveCloseOnServerOperation(0),), self._closed)

    def _closed(self, told: Any) -> None:
        if told.batch_operations[0].cancelled():
            with self._lock:
                self._gone = True
            self._end()

    def send(self, answer: Answer) -> None:
        """Answer, if anybody waits."""
        number, _ = answer.code.value
        operations = [cygrpc.SendInitialMetadataOperation(None, 0)]
        if answer.data is not None:
            operations.append(cygrpc.SendMessageOperation(answer.data, 0))
        operations.append(cygrpc.SendStatusFromServerOperation(answer.trailers, number, answer.text.encode(), 0))
        if not self._watched:
            operations.append(cygrpc.ReceiveCloseOnServerOperation(0))
        with self._lock:
            if not self._gone:
                self._start(self._call, operations, lambda _: self._end())

    def _end(self) -> None:
        with self._lock:
            callbacks, self._at_end = self._at_end or (), None
        for callback in callbacks:
            guarded(callback)
