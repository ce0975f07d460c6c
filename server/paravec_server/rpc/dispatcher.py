"""The life of a call: taken on or refused, run, ended with a status, counted, logged.

`Calls` sees a call as soon as its headers are there: it is refused then if its caller has no token or the server is not
ready. Whether it is too much for the moment is known with its message. However it goes on, it ends in `Calls.end`.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import grpc

from paravec_model.errors import StoppedError

from ..security.bearer_tokens import Tokens
from ..telemetry.counters import METHODS, Row
from ..telemetry.logs import event
from .admission import Admission
from .call import MOMENT, Brief, Call, Method, Trailers
from .errors import NoMessageError, RequestError, UnauthenticatedError, WaitedTooLongError, place_of, status_of
from .fast_path.completion_queue import Answer, fits
from .fast_path.server import Direct, Server
from .generic_handlers import Handlers
from .thread_pool import guarded

if TYPE_CHECKING:
    from ..telemetry.tracing import Tracing

REQUEST_ID = "x-request-id"
"""Metadata by which a caller may name a call, and which comes back in the trailers. Other calls are named here, and who
called is told if they fail: a trailer costs as much as a tenth of a short call."""

_GOOD_ID = re.compile(r"[!-~]{1,128}")
_DETAILS = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}

# Seconds between two looks for calls whose callers keep the server waiting.
_LOOK = 1.0

# Seconds before its deadline from which a call that is given up is late.
_NEARLY = 0.05

_log = logging.getLogger(__name__)


class Calls:
    """All that the server answers, by full name: /package.Service/Method."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        admission: Admission,
        row: Row,
        tokens: Tokens | None = None,
        tracing: "Tracing | None" = None,
        peer_seconds: float = 30.0,
        max_wait: float = 30.0,
    ) -> None:
        """`tokens`: what a call must carry one of, if any. `peer_seconds`: how long a message may take to come, and an
        answer to be taken. `max_wait`: seconds that a short text may wait for others."""
        self.methods, self._admission, self._row = methods, admission, row
        self._tokens, self._tracing, self._peer_seconds = tokens, tracing, peer_seconds
        self._max_wait = max_wait
        # Calls that have ended and whose answers are not sent yet, and since when.
        self._unsent: dict[Call, float] = {}
        self._prefix, self._numbers = token_hex(6), count()
        threading.Thread(target=self._hurry, name="hurry", daemon=True).start()

    def server(
        self, pool: ThreadPoolExecutor, options: Sequence[tuple[str, Any]] = (), *, direct: bool = True
    ) -> Server:
        """A server that answers them; what has no pool of its own runs on `pool`. `direct`: calls of one message and
        one answer go straight from gRPC's core, if grpcio has what that takes.

        gRPC's core has a line of waiting calls for each method that it knows of, so that many of one do not hold up
        calls of another. All it knows is the name: how each call is handled is told when it comes.
        """
        handlers = Handlers(self)
        server = grpc.server(pool, interceptors=[handlers], options=options)
        served = Direct(server, self, pool, self._max_wait) if direct and fits(server) else None
        for name, method in self.methods.items():
            if served and method.pool is None and not method.responses:
                served.add(name, method)
                continue
            _, service, short = name.split("/")
            server.add_registered_method_handlers(service, {short: handlers.default})
        return Server(server, served)

    def enter(self, name: str, metadata: Any) -> tuple[Method, Call, Exception | None]:
        """A call has come: it is taken on, or is to be refused, with this error."""
        method = self.methods[name]
        call = Call(name.rpartition("/")[2], *self._name(metadata), self._admission)
        try:
            if self._tracing and call.method in METHODS:
                call.span = self._tracing.begin(name, metadata)
            if self._tokens and not method.open and not self._tokens.allow(metadata):
                self._row.add("credentials")
                raise UnauthenticatedError
            if method.counted:
                self._admission.enter()
                call.entered = True
        except Exception as error:
            return method, call, error
        return method, call, None

    def _name(self, metadata: Any) -> tuple[str, Trailers]:
        """The id of a call, and the trailers that tell it if the caller wants to hear it."""
        for key, value in metadata:
            if key == REQUEST_ID and _GOOD_ID.fullmatch(value):
                return value, ((REQUEST_ID, value),)
        return f"{self._prefix}{next(self._numbers):x}", ()

    def refuse(self, call: Call, error: Exception) -> Answer:
        """The end of a call that is not run."""
        return self._ending(call, lambda: self.fail(call, error))

    def hold(self, method: Method, call: Call, size: int) -> None:
        """A call that is not brief has its message, of so many bytes; OverloadedError if it is too much for now."""
        if call.entered and not call.held:
            call.hold(size, method.work(size))

    def answer(self, method: Method, call: Call, messages: Iterator[bytes]) -> Answer:
        """Run a call of one message and one answer."""

        def run() -> Answer:
            try:
                data = self.message(method, call, messages)
                self.hold(method, call, len(data))
                return Answer(method.run(call, data), trailers=call.trailers)
            except Exception as error:
                return self.fail(call, error)

        return self._ending(call, run)

    def answer_together(self, brief: Brief, calls: Sequence[Call]) -> list[Answer] | None:
        """Run brief calls of one kind; None if that fails, and none of them has ended."""
        try:
            responses = brief.run_together(calls)
            answers = [Answer(data, trailers=call.trailers) for call, data in zip(calls, responses, strict=True)]
        except Exception as error:
            # Each is run by itself then, and a caller hears of its own fault only.
            event(_log, logging.DEBUG, "calls failed together", calls=len(calls), **place_of(error))
            return None
        for call, answer in zip(calls, answers, strict=True):
            guarded(self.end, call, answer)
        return answers

    def abandon(self, call: Call, error: Exception) -> None:
        """A call cannot go on, for a fault of ours: it ends, its caller hears of it, and all that it holds is free."""
        answer = self._ending(call, lambda: self.fail(call, error))
        try:
            call.context.send(answer)
        except Exception:
            call.context.give_up()

    def message(self, method: Method, call: Call, messages: Iterator[bytes]) -> bytes:
        if not method.reads:
            return b""
        method.await_message(call)
        try:
            return next(messages)
        except StopIteration:
            # gRPC tells the end of the messages first, and then that it is that of the call.
            time.sleep(MOMENT)
            raise (StoppedError("gone") if call.stopped() else NoMessageError()) from None
        finally:
            method.waiting.pop(call, None)

    def _hurry(self) -> None:
        """Cancel calls whose message does not come, or whose answer is not taken: they hold memory, and maybe a
        thread."""
        while True:
            time.sleep(min(_LOOK, self._peer_seconds / 4))
            latest = time.monotonic() - self._peer_seconds
            for calls in (self._unsent, *(method.waiting for method in self.methods.values())):
                for call, since in calls.copy().items():
                    if since < latest:
                        guarded(call.context.cancel)

    def fail(self, call: Call, error: Exception) -> Answer:
        """How `error` ends the call."""
        if isinstance(error, StoppedError):
            # Nobody hears this any more; it is for the figures. A caller gives up at its deadline, and its word can be
            # here before the deadline that was reckoned here.
            late = call.context.time_remaining() < _NEARLY
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            return Answer(None, code, "nobody waits any more")
        if isinstance(error, WaitedTooLongError):
            error = self._admission.refuse_waiting()
        status = status_of(error, call.request_id, **call.trace)
        known = error.trailers if isinstance(error, RequestError) else ()
        details = (REQUEST_ID, call.request_id), (_DETAILS, status.SerializeToString())
        return Answer(None, _CODES[status.code], status.message, (*details, *known))

    def _ending(self, call: Call, run: Callable[[], Answer]) -> Answer:
        """The answer that `run` gives, with which the call has ended, whatever happens."""
        answer = Answer(None, grpc.StatusCode.INTERNAL, "internal error")
        try:
            answer = run()
        finally:
            self.end(call, answer)
        return answer

    def end(self, call: Call, answer: Answer) -> None:
        """The only place where a call ends: what it holds is given back, and it is counted and logged, once."""
        if call.ended:
            return
        call.ended = True
        if call.entered:
            self._admission.leave(call.held, len(answer.data or b""))
            self._unsent[call] = time.monotonic()
            sent = partial(self._sent, call)
            if not guarded(call.context.add_callback, sent):
                sent()
        if call.method not in METHODS:
            return
        seconds = time.perf_counter() - call.began
        self._row.ended(call.method, answer.code, seconds)
        if call.span:
            guarded(partial(call.span.end, answer.code, **call.facts))
        if _log.isEnabledFor(logging.DEBUG):
            ended = {"method": call.method, "code": answer.code.name, "seconds": round(seconds, 6)}
            event(_log, logging.DEBUG, "call", **call.facts, **ended, **call.trace)

    def _sent(self, call: Call) -> None:
        if self._unsent.pop(call, None) is not None:
            self._admission.sent(call.held)
