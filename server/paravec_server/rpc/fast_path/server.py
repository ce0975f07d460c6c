"""Calls of one message and one answer, straight from gRPC's core, without the layers that grpcio's server puts between.

Those cost more than a short text's inference: they are half of what an empty handler takes, and three quarters of a
refusal. What is used of grpcio has no public name; `core.fits` says whether the grpcio at hand has it. If not, grpcio's
own way is taken.

One thread polls the core's completion queue. It reads a call's message when it is there, answers brief calls together
with others that wait, and hands all other calls to threads; so no thread waits for a message.
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
from typing import Any, Protocol

import grpc

from paravec_model.errors import StoppedError

from ..call import Brief, Call, Method
from ..errors import WaitedTooLongError
from ..thread_pool import guarded
from .completion_queue import Answer, Core
from .exchange import Exchange
from .fair_queue import BriefCall, FairQueue

# Events of the core that are handled before the next brief calls are answered. More are handled for as long as the last
# answers took: what waits in the core is not shared fairly.
_EVENTS = 64

# Calls of a method that the core is asked for ahead, if some of them may be brief and if not. Those beyond wait in the
# core until our code gets there.
_AHEAD_BRIEF, _AHEAD = 128, 16


class Answers(Protocol):
    """Who runs the calls."""

    def enter(self, name: str, metadata: Any) -> tuple[Method, Call, Exception | None]:
        """A call of this method has come; why it is refused, if it is."""

    def hold(self, method: Method, call: Call, size: int) -> None:
        """Its message has so many bytes, and it is not brief; an error if it is refused."""

    def refuse(self, call: Call, error: Exception) -> Answer:
        """The end of a call that was refused."""

    def answer(self, method: Method, call: Call, messages: Iterator[bytes]) -> Answer:
        """Run a call that was not refused."""

    def answer_together(self, brief: Brief, calls: Sequence[Call]) -> Sequence[Answer] | None:
        """Run brief calls of one kind; None if that fails, and none of them has ended."""

    def abandon(self, call: Call, error: Exception) -> None:
        """End a call that cannot go on."""


class Direct:
    """The methods of a server that are served like this."""

    def __init__(self, server: Any, answers: Answers, threads: ThreadPoolExecutor, max_wait: float) -> None:
        """`threads`: for calls that are not brief. `max_wait`: seconds that a brief call may wait for others."""
        self._core, self._answers, self._threads, self._max_wait = Core(server), answers, threads, max_wait
        self._ahead: dict[str, int] = {}
        # Calls that the core was asked for and that have not come.
        self._asked = 0
        self._busy_since: float | None = None
        self._waiting = FairQueue()
        self._thread = threading.Thread(target=self._run, name="direct", daemon=True)

    def add(self, name: str, method: Method) -> None:
        """Serve this method, /package.Service/Method; before the server starts."""
        self._core.register(name)
        self._ahead[name] = _AHEAD_BRIEF if method.brief else _AHEAD

    def serve(self) -> None:
        """Begin, once the server has started."""
        for name, ahead in self._ahead.items():
            for _ in range(ahead):
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
            self._asked += 1

    def _run(self) -> None:
        events, answered, spent = 0, 0.0, 0.0
        # Nothing is due, and nothing is asked any more: it is over.
        while self._core.due:
            come = self._core.hear(wait=not self._waiting)
            self._busy_since = now = time.monotonic()
            if come:
                events += 1
                guarded(come)
            # Only calls that are yet to come are due: nothing that is there already could be answered together.
            alone = self._core.due <= self._asked
            enough = events >= _EVENTS and now - answered > spent
            if self._waiting and (not come or alone or enough):
                guarded(self._answer_waiting)
                events, answered = 0, time.monotonic()
                spent = answered - now
            self._busy_since = None
            # What it holds is not kept until the next comes.
            del come
        self._core.close()

    def _begin(self, name: str, begun: Any) -> None:
        self._asked -= 1
        if not begun.success:
            return
        try:
            self._request(name)
            exchange = Exchange(self._core, begun)
            method, call, error = self._answers.enter(name, begun.invocation_metadata)
        except Exception:
            begun.call.cancel()
            raise
        call.context = exchange
        if error:
            self._step(call, self._refuse, call, error)
        else:
            self._step(call, self._receive, method, call)

    def _step(self, call: Call, step: Any, *arguments: Any) -> None:
        """Go on with a call. Whatever is raised ends it."""
        try:
            step(*arguments)
        except Exception as error:
            self._answers.abandon(call, error)

    def _receive(self, method: Method, call: Call) -> None:
        method.await_message(call)
        try:
            call.context.receive(lambda data: self._step(call, self._arrived, method, call, data))
        except Exception:
            method.waiting.pop(call, None)
            raise

    def _arrived(self, method: Method, call: Call, data: bytes | None) -> None:
        method.waiting.pop(call, None)
        if method.brief and data is not None:
            kind = method.brief.kind(call, data)
            if kind is not None:
                self._waiting.add(BriefCall(method, kind, call, data))
                return
        self._hand_on(method, call, data)

    def _answer_waiting(self) -> None:
        # What is sent together goes in few packets, and finds code and data in the cache: half of a short call's cost.
        now = time.perf_counter()
        fresh = []
        for each in self._waiting.take():
            call = each.call
            if not call.context.time_remaining():
                self._step(call, self._refuse, call, StoppedError("the deadline passed before its turn"))
            elif now - call.began > self._max_wait:
                self._step(call, self._refuse, call, WaitedTooLongError())
            else:
                fresh.append(each)
        for (method, _), run in groupby(fresh, key=itemgetter(0, 1)):
            some = list(run)
            answers = self._answers.answer_together(method.brief, [each.call for each in some])
            if answers is None:
                # One may be at fault, and the others are not to suffer for it.
                for each in some:
                    self._step(each.call, self._hand_on, method, each.call, each.data)
            else:
                for each, answer in zip(some, answers, strict=True):
                    self._step(each.call, each.call.context.send, answer)

    def _hand_on(self, method: Method, call: Call, data: bytes | None) -> None:
        call.context.watch()
        try:
            # At once, so that what is refused is not kept.
            self._answers.hold(method, call, len(data or b""))
        except Exception as error:
            self._refuse(call, error)
            return
        messages = iter(() if data is None else (data,))
        self._threads.submit(self._step, call, self._finish, method, call, messages)

    def _finish(self, method: Method, call: Call, messages: Iterator[bytes]) -> None:
        call.context.send(self._answers.answer(method, call, messages))

    def _refuse(self, call: Call, error: Exception) -> None:
        call.context.send(self._answers.refuse(call, error))


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
