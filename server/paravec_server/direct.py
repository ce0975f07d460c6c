"""Calls of one message and one answer, straight from gRPC's core, without the layers that grpcio's server puts between.

Those cost more than a short text's inference: they are half of what an empty handler takes, and three quarters of a
refusal. What is used of grpcio here has no public name; `fits` says whether the grpcio at hand has it. If not, grpcio's
own way is taken.

One thread hears from the core. It reads a call's message where the core tells that it is there, answers brief calls
then and there, and hands the others to threads; so no thread waits for a message.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import groupby
from math import inf
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from .call import Call, Method
from .pool import guarded

_NEEDED = (
    "CompletionQueue", "ReceiveCloseOnServerOperation", "ReceiveMessageOperation", "SendInitialMetadataOperation",
    "SendMessageOperation", "SendStatusFromServerOperation",
)  # fmt: skip

# Brief calls that are answered together, at most; and seconds that one waits for others, however many there are of
# other kinds.
_TOGETHER, _PATIENCE = 16, 0.002


class Answer(NamedTuple):
    """How a call ends."""

    data: bytes | None
    """The response; None if it failed."""
    code: grpc.StatusCode = grpc.StatusCode.OK
    text: str = ""
    trailers: tuple[tuple[str, str | bytes], ...] = ()


class Answers(Protocol):
    """Who runs the calls."""

    def enter(self, name: str, metadata: Any) -> tuple[Method, Call, Exception | None]:
        """A call of this method has come; why it is refused, if it is."""

    def refuse(self, call: Call, error: Exception) -> Answer:
        """The end of a call that was refused."""

    def answer(self, method: Method, call: Call, messages: Iterator[bytes]) -> Answer:
        """Run a call that was not."""

    def answer_together(self, method: Method, calls: Sequence[Call]) -> Sequence[Answer] | None:
        """Run brief calls that were not; None if that fails, and none of them has ended."""


def fits(server: grpc.Server) -> bool:
    """Whether this grpcio is as it is taken to be here."""
    needed = ("register_method", "register_completion_queue", "request_registered_call")
    core = getattr(server, "_cy_server", None)
    return all(hasattr(cygrpc, name) for name in _NEEDED) and all(hasattr(core, name) for name in needed)


class Exchange:
    """What goes between one call and the core. To those who run the call it is what grpcio calls its context."""

    def __init__(self, direct: "Direct", begun: Any) -> None:
        self._direct, self._call, self._deadline = direct, begun.call, begun.call_details.deadline
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
        self._direct.start(self._call, operations, lambda told: then(told.batch_operations[0].message()))

    def watch(self) -> None:
        """Find out when the caller goes."""
        self._watched = True
        self._direct.start(self._call, (cygrpc.ReceiveCloseOnServerOperation(0),), self._closed)

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
                self._direct.start(self._call, operations, lambda _: self._end())

    def _end(self) -> None:
        with self._lock:
            callbacks, self._at_end = self._at_end or (), None
        for callback in callbacks:
            guarded(callback)


class Direct:
    """The methods of a server that are served like this."""

    def __init__(self, server: Any, answers: Answers, threads: ThreadPoolExecutor) -> None:
        """`threads`: for calls that are not brief."""
        self._server, self._answers, self._threads = server._cy_server, answers, threads
        self._names: list[str] = []
        self._queue = cygrpc.CompletionQueue()
        self._server.register_completion_queue(self._queue)
        # An item for all that the core has yet to tell; told, and nothing is asked any more, it is over.
        self._due: list[None] = []
        self._busy_since: float | None = None
        self._brief: list[tuple[Method, Call, bytes]] = []
        """Calls to be answered together, at the `_last` moment."""
        self._last = 0.0
        self._thread = threading.Thread(target=self._run, name="direct", daemon=True)

    def add(self, name: str) -> None:
        """Serve this method, /package.Service/Method; before the server starts."""
        self._server.register_method(name)
        self._names.append(name)

    def serve(self) -> None:
        """Begin, once the server has started."""
        for name in self._names:
            self._request(name)
        self._thread.start()

    @property
    def stuck(self) -> float:
        """Seconds since it heard from the core what it is still busy with."""
        if self._thread.ident and self._due and not self._thread.is_alive():
            return inf
        since = self._busy_since
        return time.monotonic() - since if since else 0.0

    def start(self, call: Any, operations: Sequence[Any], then: Callable[[Any], None]) -> None:
        """Ask the core for something, and have `then` called on this thread once it is done."""
        self._ask(call.start_server_batch, operations, then)

    def _request(self, name: str) -> None:
        # ValueError if the server stops.
        with suppress(ValueError):
            queue = self._queue
            self._ask(self._server.request_registered_call, queue, queue, name, partial(self._begin, name))

    def _ask(self, ask: Callable[..., Any], *arguments: Any) -> None:
        self._due.append(None)
        try:
            if ask(*arguments):
                raise RuntimeError("gRPC's core does not take this")
        except BaseException:
            # What could not be asked will not be told.
            self._due.pop()
            raise

    def _run(self) -> None:
        while self._due:
            # Brief calls wait for those that are there already.
            told = self._queue.poll(0 if self._brief else None)
            self._busy_since = now = time.monotonic()
            nothing = told.completion_type == cygrpc.CompletionType.queue_timeout
            if not nothing:
                guarded(told.tag, told)
                self._due.pop()
            if self._brief and (nothing or len(self._brief) == _TOGETHER or now > self._last):
                self._answer_brief()
            self._busy_since = None
            # What it holds is not kept until the next comes.
            del told
        self._queue.shutdown()

    def _begin(self, name: str, begun: Any) -> None:
        if not begun.success:
            return
        self._request(name)
        exchange = Exchange(self, begun)
        method, call, error = self._answers.enter(name, begun.invocation_metadata)
        call.context = exchange
        if error:
            exchange.send(self._answers.refuse(call, error))
            return
        method.await_message(call)
        exchange.receive(partial(self._arrived, method, call))

    def _arrived(self, method: Method, call: Call, data: bytes | None) -> None:
        method.waiting.pop(call, None)
        if data is not None and guarded(method.brief, call, data):
            if not self._brief:
                self._last = time.monotonic() + _PATIENCE
            self._brief.append((method, call, data))
        else:
            self._hand_on(method, call, data)

    def _answer_brief(self) -> None:
        brief, self._brief = self._brief, []
        for method, run in groupby(brief, key=itemgetter(0)):
            some = list(run)
            answers = guarded(self._answers.answer_together, method, [call for _, call, _ in some])
            if answers is None:
                # One may be at fault, and the others are not to suffer for it.
                for each in some:
                    self._hand_on(*each)
            else:
                for (_, call, _), answer in zip(some, answers, strict=True):
                    guarded(call.context.send, answer)

    def _hand_on(self, method: Method, call: Call, data: bytes | None) -> None:
        call.context.watch()
        self._threads.submit(self._finish, method, call, iter(() if data is None else (data,)))

    def _finish(self, method: Method, call: Call, messages: Iterator[bytes]) -> None:
        try:
            call.context.send(self._answers.answer(method, call, messages))
        except Exception:
            # Who called must not wait for ever.
            call.context.cancel()
            raise


class Server:
    """grpcio's server, which serves some methods directly."""

    def __init__(self, server: grpc.Server, direct: Direct | None) -> None:
        self._server, self._direct = server, direct
        self.add_insecure_port, self.add_secure_port = server.add_insecure_port, server.add_secure_port
        self.stop = server.stop

    @property
    def stuck(self) -> float:
        """Seconds for which direct calls have not got on."""
        return self._direct.stuck if self._direct else 0.0

    def start(self) -> None:
        """Begin to serve."""
        self._server.start()
        if self._direct:
            self._direct.serve()
