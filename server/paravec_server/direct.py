"""Calls of one message and one answer, straight from gRPC's core, without the layers that grpcio's server puts between.

Those cost more than a short text's inference: they are half of what an empty handler takes, and three quarters of a
refusal. What is used of grpcio has no public name; `core.fits` says whether the grpcio at hand has it. If not, grpcio's
own way is taken.

One thread hears from the core. It reads a call's message where the core tells that it is there, answers brief calls
together with those that have come meanwhile, and hands the others to threads; so no thread waits for a message.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import groupby
from math import inf
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import grpc

from .call import Brief, Call, Method
from .core import Answer, Core
from .exchange import Exchange
from .pool import guarded

# Brief calls that are answered together, at most; and seconds that one waits at most for others that are there already.
_TOGETHER, _PATIENCE = 16, 0.002


class Answers(Protocol):
    """Who runs the calls."""

    def enter(self, name: str, metadata: Any) -> tuple[Method, Call, Exception | None]:
        """A call of this method has come; why it is refused, if it is."""

    def refuse(self, call: Call, error: Exception) -> Answer:
        """The end of a call that was refused."""

    def answer(self, method: Method, call: Call, messages: Iterator[bytes]) -> Answer:
        """Run a call that was not."""

    def answer_together(self, brief: Brief, method: Method, calls: Sequence[Call]) -> Sequence[Answer] | None:
        """Run brief calls that were not, of one kind; None if that fails, and none of them has ended."""


class _BriefCall(NamedTuple):
    """One that waits for others."""

    method: Method
    kind: Any
    call: Call
    data: bytes


class Direct:
    """The methods of a server that are served like this."""

    def __init__(self, server: Any, answers: Answers, threads: ThreadPoolExecutor) -> None:
        """`threads`: for calls that are not brief."""
        self._core, self._answers, self._threads = Core(server), answers, threads
        self._names: list[str] = []
        self._busy_since: float | None = None
        # Calls to be answered together, and when at last; 0 if there are none.
        self._brief: list[_BriefCall] = []
        self._last = 0.0
        self._thread = threading.Thread(target=self._run, name="direct", daemon=True)

    def add(self, name: str) -> None:
        """Serve this method, /package.Service/Method; before the server starts."""
        self._core.register(name)
        self._names.append(name)

    def serve(self) -> None:
        """Begin, once the server has started."""
        for name in self._names:
            self._request(name)
        self._thread.start()

    @property
    def stuck(self) -> float:
        """Seconds since it heard from the core what it is still busy with."""
        if self._thread.ident and self._core.due and not self._thread.is_alive():
            return inf
        since = self._busy_since
        return time.monotonic() - since if since else 0.0

    def _request(self, name: str) -> None:
        # ValueError if the server stops.
        with suppress(ValueError):
            self._core.request(name, partial(self._begin, name))

    def _run(self) -> None:
        # Nothing is due, and nothing is asked any more: it is over.
        while self._core.due:
            # Brief calls wait for what is there already, if there are other calls.
            come = self._core.hear(wait=not self._brief)
            self._busy_since = now = time.monotonic()
            if come:
                guarded(come)
            if self._brief:
                self._last = self._last or now + _PATIENCE
                # Each method's next call is always due.
                alone = self._core.due <= len(self._names)
                if not come or alone or len(self._brief) >= _TOGETHER or now >= self._last:
                    guarded(self._answer_together)
                    self._last = 0.0
            self._busy_since = None
            # What it holds is not kept until the next comes.
            del come
        self._core.close()

    def _begin(self, name: str, begun: Any) -> None:
        if not begun.success:
            return
        self._request(name)
        exchange = Exchange(self._core, begun)
        method, call, error = self._answers.enter(name, begun.invocation_metadata)
        call.context = exchange
        if error:
            # At once: the longer it takes, the more of its message has come.
            _send(exchange, self._answers.refuse(call, error))
            return
        method.await_message(call)
        exchange.receive(partial(self._arrived, method, call))

    def _arrived(self, method: Method, call: Call, data: bytes | None) -> None:
        method.waiting.pop(call, None)
        if method.brief and data is not None:
            kind = guarded(method.brief.kind, call, data)
            if kind is not None:
                self._brief.append(_BriefCall(method, kind, call, data))
                return
        self._hand_on(method, call, data)

    def _answer_together(self) -> None:
        # What is sent together goes in few packets, and finds code and data at hand: half of what a short call took.
        brief, self._brief = self._brief, []
        for (method, _), run in groupby(brief, key=itemgetter(0, 1)):
            some = list(run)
            answers = guarded(self._answers.answer_together, method.brief, method, [each.call for each in some])
            if answers is None:
                # One may be at fault, and the others are not to suffer for it.
                for each in some:
                    guarded(self._hand_on, method, each.call, each.data)
            else:
                for each, answer in zip(some, answers, strict=True):
                    guarded(_send, each.call.context, answer)

    def _hand_on(self, method: Method, call: Call, data: bytes | None) -> None:
        call.context.watch()
        self._threads.submit(self._finish, method, call, iter(() if data is None else (data,)))

    def _finish(self, method: Method, call: Call, messages: Iterator[bytes]) -> None:
        try:
            answer = self._answers.answer(method, call, messages)
        except Exception:
            call.context.give_up()
            raise
        _send(call.context, answer)


def _send(exchange: Exchange, answer: Answer) -> None:
    try:
        exchange.send(answer)
    except Exception:
        exchange.give_up()
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
