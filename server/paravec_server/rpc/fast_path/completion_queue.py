"""gRPC's completion queue, and calls taken from it. The only module that uses private names of grpcio."""

import threading
import time
from collections.abc import Callable
from math import inf
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from ..call import CallResult
from ..thread_pool import log_failure

_CLASSES = (
    "CompletionQueue", "CompletionType", "ReceiveCloseOnServerOperation", "ReceiveMessageOperation",
    "SendInitialMetadataOperation", "SendMessageOperation", "SendStatusFromServerOperation",
)  # fmt: skip
_SERVER_METHODS = ("register_method", "register_completion_queue", "request_registered_call")


def is_supported(server: grpc.Server) -> bool:
    """Whether this grpcio has the classes and methods that the fast path needs."""
    core = getattr(server, "_cy_server", None)
    return all(hasattr(cygrpc, name) for name in _CLASSES) and all(hasattr(core, name) for name in _SERVER_METHODS)


class CompletionQueue:
    """Starts operations on a server's gRPC completion queue and returns the events of finished ones."""

    def __init__(self, server: Any) -> None:
        self._server = server._cy_server
        self._queue = cygrpc.CompletionQueue()
        self._server.register_completion_queue(self._queue)
        self.pending: list[None] = []
        """An item for each operation that has not finished. Threads share it: append and pop are atomic."""

    def poll(self, seconds: float) -> Any:
        """The next event, whose `tag` is the callback to call with it; None if there is none within `seconds`."""
        # gRPC takes the time of the wall clock, and waits for ever without one.
        event = self._queue.poll(None if seconds == inf else time.time() + seconds if seconds else 0)
        if event.completion_type == cygrpc.CompletionType.queue_timeout:
            return None
        self.pending.pop()
        return event

    def close(self) -> None:
        """Shut the queue down; no operation may be pending."""
        self._queue.shutdown()

    def register(self, name: str) -> None:
        """Take calls of this method from the queue. Call it before the server starts."""
        self._server.register_method(name)

    def request_call(self, name: str, callback: Callable[[Any], None]) -> bool:
        """Call `callback` with the event of the method's next call; False if the server is stopping."""
        try:
            self.start(self._server.request_registered_call, self._queue, self._queue, name, callback)
        except ValueError:
            return False
        return True

    def start(self, operation: Callable[..., Any], *arguments: Any) -> None:
        """Start an operation; its last argument is the callback."""
        self.pending.append(None)
        try:
            if operation(*arguments):
                raise RuntimeError("gRPC's core rejects the operation")
        except BaseException:
            # A rejected operation posts no event, so it is not pending.
            self.pending.pop()
            raise


class CallContext:
    """The parts of grpc.ServicerContext that handlers use, for a call taken straight from the queue."""

    def __init__(self, queue: CompletionQueue, event: Any) -> None:
        """`event`: that of the call's start."""
        self._queue, self._call = queue, event.call
        # gRPC gives the deadline by the wall clock, which may jump while the call waits.
        self._deadline = time.monotonic() + float(event.call_details.deadline) - time.time()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] | None = []
        self._watched = self._cancelled = False

    def peer(self) -> str:
        """The address of the connection."""
        return str(self._call.peer(), "ascii", "replace")

    def is_active(self) -> bool:
        """Whether the caller still waits. Only calls that are watched notice that it does not."""
        return not self._cancelled

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Call `callback` when the call ends; False if it has ended already."""
        with self._lock:
            if self._callbacks is not None:
                self._callbacks.append(callback)
            return self._callbacks is not None

    def time_remaining(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self._deadline - time.monotonic())

    def cancel(self) -> None:
        """End the call as CANCELLED."""
        self._call.cancel()

    def abandon(self) -> None:
        """End the call as CANCELLED and run its callbacks now: no event will."""
        self.cancel()
        self._end()

    def receive(self, callback: Callable[[bytes | None], None]) -> None:
        """Call `callback` with the request; with None if there is none, or the caller has gone."""
        operations = (cygrpc.ReceiveMessageOperation(0),)
        self._queue.start(
            self._call.start_server_batch, operations, lambda event: callback(event.batch_operations[0].message())
        )

    def watch(self) -> None:
        """Notice from now on that the caller goes."""
        self._watched = True
        operations = (cygrpc.ReceiveCloseOnServerOperation(0),)
        self._queue.start(self._call.start_server_batch, operations, self._on_close)

    def _on_close(self, event: Any) -> None:
        if event.batch_operations[0].cancelled():
            with self._lock:
                self._cancelled = True
            self._end()

    def send(self, result: CallResult) -> None:
        """Send the response and the status, unless the caller has gone."""
        operations = [cygrpc.SendInitialMetadataOperation(None, 0)]
        if result.response is not None:
            operations.append(cygrpc.SendMessageOperation(result.response, 0))
        number, _ = result.code.value
        operations.append(cygrpc.SendStatusFromServerOperation(result.trailers, number, result.details.encode(), 0))
        if not self._watched:
            # Every call must wait for its close once, and it costs less together with the status.
            operations.append(cygrpc.ReceiveCloseOnServerOperation(0))
        with self._lock:
            if not self._cancelled:
                self._queue.start(self._call.start_server_batch, operations, self._end)

    def _end(self, _event: Any = None) -> None:
        with self._lock:
            callbacks, self._callbacks = self._callbacks or (), None
        for callback in callbacks:
            try:
                callback()
            except Exception as error:
                log_failure(error)
