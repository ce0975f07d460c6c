"""What is used of gRPC's core by names of grpcio that are not public."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

_NEEDED = (
    "CompletionQueue", "CompletionType", "ReceiveCloseOnServerOperation", "ReceiveMessageOperation",
    "SendInitialMetadataOperation", "SendMessageOperation", "SendStatusFromServerOperation",
)  # fmt: skip


class Answer(NamedTuple):
    """How a call ends."""

    data: bytes | None
    """The response; None if it failed."""
    code: grpc.StatusCode = grpc.StatusCode.OK
    text: str = ""
    trailers: tuple[tuple[str, str | bytes], ...] = ()


def fits(server: grpc.Server) -> bool:
    """Whether this grpcio is as it is taken to be here."""
    needed = ("register_method", "register_completion_queue", "request_registered_call")
    core = getattr(server, "_cy_server", None)
    return all(hasattr(cygrpc, name) for name in _NEEDED) and all(hasattr(core, name) for name in needed)


class Core:
    """Asks the core of a server for things, and hears what has come of them."""

    def __init__(self, server: Any) -> None:
        self._server = server._cy_server
        self._queue = cygrpc.CompletionQueue()
        self._server.register_completion_queue(self._queue)
        # An item for all that the core has yet to tell.
        self._due: list[None] = []

    @property
    def due(self) -> int:
        """How much it has yet to tell."""
        return len(self._due)

    def hear(self, *, wait: bool) -> Callable[[], None] | None:
        """What is to be called as something has come; None if nothing has, and that is not waited for."""
        told = self._queue.poll(None if wait else 0)
        if told.completion_type == cygrpc.CompletionType.queue_timeout:
            return None
        self._due.pop()
        return partial(told.tag, told)

    def close(self) -> None:
        """Nothing more is due."""
        self._queue.shutdown()

    def register(self, name: str) -> None:
        """Before the server starts: calls of this method are asked for."""
        self._server.register_method(name)

    def request(self, name: str, then: Callable[[Any], None]) -> None:
        """The next call of a method; ValueError if the server stops."""
        self._ask(self._server.request_registered_call, self._queue, self._queue, name, then)

    def receive(self, call: Any, then: Callable[[bytes | None], None]) -> None:
        """The call's next message; None if there is none, or nobody any more who sends it."""
        self._start(call, (cygrpc.ReceiveMessageOperation(0),), lambda told: then(told.batch_operations[0].message()))

    def watch(self, call: Any, then: Callable[[bool], None]) -> None:
        """The call's end, and whether its caller left before it was answered."""
        operations = (cygrpc.ReceiveCloseOnServerOperation(0),)
        self._start(call, operations, lambda told: then(told.batch_operations[0].cancelled()))

    def send(self, call: Any, answer: Answer, then: Callable[[], None], *, watch: bool) -> None:
        """Answer it; the call's end, too, if that is to be watched."""
        number, _ = answer.code.value
        operations = [cygrpc.SendInitialMetadataOperation(None, 0)]
        if answer.data is not None:
            operations.append(cygrpc.SendMessageOperation(answer.data, 0))
        operations.append(cygrpc.SendStatusFromServerOperation(answer.trailers, number, answer.text.encode(), 0))
        if watch:
            operations.append(cygrpc.ReceiveCloseOnServerOperation(0))
        self._start(call, operations, lambda _: then())

    def _start(self, call: Any, operations: Sequence[Any], then: Callable[[Any], None]) -> None:
        self._ask(call.start_server_batch, operations, then)

    def _ask(self, ask: Callable[..., Any], *arguments: Any) -> None:
        self._due.append(None)
        try:
            if ask(*arguments):
                raise RuntimeError("gRPC's core does not take this")
        except BaseException:
            # What could not be asked will not be told.
            self._due.pop()
            raise
