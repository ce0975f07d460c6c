"""The life of a call, whatever it asks for: taken on or refused, run, ended with a status, counted, logged.

`Calls` hears of a call as soon as its headers are there. Refusals are answered then, on gRPC's own thread, before the
message is read. What grpcio's server handles is handled as a stream of bytes, which on the wire it is: so its handler
runs even when no message comes, and can tell.
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

from .admission import Admission
from .call import MOMENT, Brief, Call, Method, Trailers
from .core import Answer, fits
from .direct import Direct, Server
from .errors import NoMessageError, RequestError, UnauthenticatedError, place_of, status_of
from .figures import METHODS, Row
from .logs import event
from .pool import Inline, guarded
from .tokens import Tokens

if TYPE_CHECKING:
    from .tracing import Tracing

REQUEST_ID = "x-request-id"
"""Metadata by which a caller may name a call, and which comes back in the trailers. Other calls are named here, and who
called is told if they fail: a trailer costs as much as a tenth of a short call."""

_GOOD_ID = re.compile(r"[!-~]{1,128}")
_DETAILS = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}

# Seconds that the message of a call may take to come, and between two looks.
_PATIENCE, _LOOK = 30.0, 1.0

# Seconds before its deadline from which a call that is given up is late.
_NEARLY = 0.05

_INLINE = Inline(1)

_log = logging.getLogger(__name__)


class Calls(grpc.ServerInterceptor):
    """All that the server answers, by full name: /package.Service/Method."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        admission: Admission,
        row: Row,
        tokens: Tokens | None = None,
        tracing: "Tracing | None" = None,
    ) -> None:
        """`tokens`: what a call must carry one of, if any."""
        self._methods, self._admission, self._row = methods, admission, row
        self._tokens, self._tracing = tokens, tracing
        self._prefix, self._numbers = token_hex(6), count()
        threading.Thread(target=self._hurry, name="hurry", daemon=True).start()

    def server(self, pool: ThreadPoolExecutor, options: Sequence[tuple[str, Any]] = ()) -> Server:
        """A server that answers them; what has no pool of its own runs on `pool`.

        gRPC's core has a line of waiting calls for each method that it knows of, so that many of one do not hold up
        calls of another. All it knows is the name: how each call is handled is told when it comes.
        """
        server = grpc.server(pool, interceptors=[self], options=options)
        direct = Direct(server, self, pool) if fits(server) else None
        for name, method in self._methods.items():
            if direct and method.pool is None and not method.responses:
                direct.add(name)
                continue
            _, service, short = name.split("/")
            server.add_registered_method_handlers(service, {short: _handler(self._handle, None)})
        return Server(server, direct)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """How grpcio's server is to handle a call that has come."""
        if details.method not in self._methods:
            return continuation(details)
        method, call, error = self.enter(details.method, details.invocation_metadata)
        if error:
            return _handler(partial(self._handle_refusal, call, error), _INLINE)
        if method.responses:
            return _handler(partial(self._handle_many, method, call), method.pool, responses=True)
        return _handler(partial(self._handle, method, call), method.pool)

    def enter(self, name: str, metadata: Any) -> tuple[Method, Call, Exception | None]:
        """A call has come: it is taken on, or is to be refused, with this error."""
        method = self._methods[name]
        call = Call(name.rpartition("/")[2], *self._name(metadata), self._admission)
        if self._tracing and call.method in METHODS:
            call.span = self._tracing.begin(name, metadata)
        try:
            if self._tokens and not method.open and not self._tokens.allow(metadata):
                self._row.add("credentials")
                raise UnauthenticatedError
            if method.counted:
                self._admission.enter()
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
        """The end of a call that is not taken on."""
        answer = self._fail(call, error)
        self._end(call, answer.code, counted=False)
        return answer

    def answer(self, method: Method, call: Call, messages: Iterator[bytes]) -> Answer:
        """Run a call of one message and one answer."""
        try:
            answer = Answer(method.run(call, self._message(method, call, messages)), trailers=call.trailers)
        except Exception as error:
            answer = self._fail(call, error)
        self._end(call, answer.code, counted=method.counted)
        return answer

    def answer_together(self, brief: Brief, method: Method, calls: Sequence[Call]) -> list[Answer] | None:
        """Run brief calls of one kind; None if that fails, and none of them has ended."""
        try:
            responses = brief.run_together(calls)
            answers = [Answer(data, trailers=call.trailers) for call, data in zip(calls, responses, strict=True)]
        except Exception as error:
            # Each is run by itself then, and where that fails, it is told to whom it concerns.
            event(_log, logging.DEBUG, "calls failed together", calls=len(calls), **place_of(error))
            return None
        for call in calls:
            guarded(partial(self._end, call, grpc.StatusCode.OK, counted=method.counted))
        return answers

    def _handle_refusal(self, call: Call, error: Exception, _: Any, context: grpc.ServicerContext) -> None:
        call.context = context
        _finish(context, self.refuse(call, error))

    def _handle(self, method: Method, call: Call, messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
        call.context = context
        answer = self.answer(method, call, _received(messages))
        _finish(context, answer)
        return answer.data

    def _handle_many(
        self, method: Method, call: Call, messages: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        call.context = context
        messages = _received(messages)
        answer = Answer(b"", trailers=call.trailers)
        try:
            yield from method.run(call, messages if method.requests else self._message(method, call, messages))
            if call.stopped():
                raise StoppedError("the stream ended because its caller did")
        except GeneratorExit:
            answer = self._fail(call, StoppedError("the caller takes no more"))
            raise
        except Exception as error:
            answer = self._fail(call, error)
        finally:
            self._end(call, answer.code, counted=method.counted)
        _finish(context, answer)

    def _message(self, method: Method, call: Call, messages: Iterator[bytes]) -> bytes:
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
        """Cancel calls whose message does not come: each holds a thread."""
        while True:
            time.sleep(_LOOK)
            latest = time.monotonic() - _PATIENCE
            for method in self._methods.values():
                for call, since in method.waiting.copy().items():
                    if since < latest:
                        call.context.cancel()

    def _fail(self, call: Call, error: Exception) -> Answer:
        """How `error` ends the call."""
        if isinstance(error, StoppedError):
            # Nobody hears this any more; it is for the figures. A caller gives up at its deadline, and its word can be
            # here before the deadline that was reckoned here.
            late = call.context.time_remaining() < _NEARLY
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            return Answer(None, code, "nobody waits any more")
        status = status_of(error, call.request_id, **call.trace)
        known = error.trailers if isinstance(error, RequestError) else ()
        details = (REQUEST_ID, call.request_id), (_DETAILS, status.SerializeToString())
        return Answer(None, _CODES[status.code], status.message, (*details, *known))

    def _end(self, call: Call, code: grpc.StatusCode, *, counted: bool) -> None:
        if counted:
            self._admission.leave(*call.held)
            if not call.context.add_callback(self._admission.sent):
                self._admission.sent()
        if call.method not in METHODS:
            return
        seconds = time.perf_counter() - call.began
        self._row.ended(call.method, code, seconds)
        if call.span:
            call.span.end(code, **call.facts)
        if _log.isEnabledFor(logging.DEBUG):
            ended = {"method": call.method, "code": code.name, "seconds": round(seconds, 6)}
            event(_log, logging.DEBUG, "call", **call.facts, **ended, **call.trace)


def _finish(context: grpc.ServicerContext, answer: Answer) -> None:
    """Have grpcio end a call like this."""
    if answer.trailers:
        context.set_trailing_metadata(answer.trailers)
    if answer.data is None:
        context.abort(answer.code, answer.text)


def _received(messages: Iterator[bytes]) -> Iterator[bytes]:
    """The messages of a call; StoppedError if it ends before they do."""
    try:
        yield from messages
    except grpc.RpcError as error:
        # gRPC keeps this error with the call, and its traceback keeps the call and all that it holds: a circle.
        error.__traceback__ = None
        raise StoppedError("the caller is gone") from None


def _handler(run: Callable[..., Any], pool: ThreadPoolExecutor | None, *, responses: bool = False) -> Any:
    """A handler of bytes, run on `pool` if there is one."""
    if pool is not None:
        # gRPC's own way to say so, though it calls it experimental.
        run.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return grpc.stream_stream_rpc_method_handler(run) if responses else grpc.stream_unary_rpc_method_handler(run)
