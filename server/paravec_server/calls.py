"""The life of a call, whatever it asks for: taken on or refused, run, ended with a status, counted, logged.

gRPC asks `Calls` for a handler as soon as a call's headers are there. Refusals are answered then and there, on gRPC's
own thread, before the message is read. Every method is handled as a stream of bytes, which on the wire it is: so its
handler runs even when no message comes, and can tell.
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
from .call import MOMENT, Call, Method, Trailers
from .errors import NoMessageError, RequestError, UnauthenticatedError, status_of
from .figures import METHODS, Row
from .logs import event
from .pool import Inline
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

    def server(self, pool: ThreadPoolExecutor, options: Sequence[tuple[str, Any]] = ()) -> grpc.Server:
        """A gRPC server that answers them; what has no pool of its own runs on `pool`.

        gRPC's core has a line of waiting calls for each method that it knows of, so that many of one do not hold up
        calls of another. All it knows is the name: the handler of each call is made by `intercept_service`.
        """
        server = grpc.server(pool, interceptors=[self], options=options)
        for name in self._methods:
            _, service, method = name.split("/")
            server.add_registered_method_handlers(service, {method: _handler(self._answer, None)})
        return server

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """How a call that has come is handled."""
        method = self._methods.get(details.method)
        if method is None:
            return continuation(details)
        call = Call(details.method.rpartition("/")[2], *self._name(details.invocation_metadata), self._admission)
        if self._tracing and call.method in METHODS:
            call.span = self._tracing.begin(details.method, details.invocation_metadata)
        try:
            if self._tokens and not method.open and not self._tokens.allow(details.invocation_metadata):
                self._row.add("credentials")
                raise UnauthenticatedError
            if method.counted:
                self._admission.enter()
        except Exception as error:
            return _handler(partial(self._refuse, call, error), _INLINE)
        if method.responses:
            return _handler(partial(self._answer_many, method, call), method.pool, responses=True)
        return _handler(partial(self._answer, method, call), method.pool)

    def _name(self, metadata: Any) -> tuple[str, Trailers]:
        """The id of a call, and the trailers that tell it if the caller wants to hear it."""
        for key, value in metadata:
            if key == REQUEST_ID and _GOOD_ID.fullmatch(value):
                return value, ((REQUEST_ID, value),)
        return f"{self._prefix}{next(self._numbers):x}", ()

    def _refuse(self, call: Call, error: Exception, _: Any, context: grpc.ServicerContext) -> None:
        code, text = self._fail(call, error, context)
        self._end(call, code, counted=False)
        context.abort(code, text)

    def _answer(self, method: Method, call: Call, messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
        call.context = context
        code, text = grpc.StatusCode.OK, ""
        try:
            response = method.run(call, self._message(method, call, _received(messages))).SerializeToString()
            if call.trailers:
                context.set_trailing_metadata(call.trailers)
            return response
        except Exception as error:
            code, text = self._fail(call, error, context)
        finally:
            self._end(call, code, counted=method.counted)
        return context.abort(code, text)

    def _answer_many(
        self, method: Method, call: Call, messages: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        call.context = context
        messages = _received(messages)
        code, text = grpc.StatusCode.OK, ""
        try:
            for response in method.run(call, messages if method.requests else self._message(method, call, messages)):
                yield response.SerializeToString()
            if call.trailers:
                context.set_trailing_metadata(call.trailers)
            if call.stopped():
                raise StoppedError("the stream ended because its caller did")
            return
        except GeneratorExit:
            code, _ = self._fail(call, StoppedError("the caller takes no more"), context)
            raise
        except Exception as error:
            code, text = self._fail(call, error, context)
        finally:
            self._end(call, code, counted=method.counted)
        context.abort(code, text)

    def _message(self, method: Method, call: Call, messages: Iterator[bytes]) -> bytes:
        if not method.reads:
            return b""
        if len(method.waiting) >= method.most_waiting:
            # More may wait for a thread; as this goes on, their turn comes, and that of who has something to ask.
            self._cancel(next(iter(method.waiting.copy()), None))
        method.waiting[call] = time.monotonic()
        try:
            return next(messages)
        except StopIteration:
            # gRPC tells the end of the messages first, and then that it is that of the call.
            time.sleep(MOMENT)
            raise (StoppedError("gone") if call.stopped() else NoMessageError()) from None
        finally:
            del method.waiting[call]

    def _hurry(self) -> None:
        """Cancel calls whose message does not come: each holds a thread."""
        while True:
            time.sleep(_LOOK)
            latest = time.monotonic() - _PATIENCE
            for method in self._methods.values():
                for call, since in method.waiting.copy().items():
                    if since < latest:
                        self._cancel(call)

    def _cancel(self, call: Call | None) -> None:
        if call:
            call.context.cancel()

    def _fail(self, call: Call, error: Exception, context: grpc.ServicerContext) -> tuple[grpc.StatusCode, str]:
        """The status that `error` gives the call, its details among the trailers already."""
        if isinstance(error, StoppedError):
            # Nobody hears this any more; it is for the figures. A caller gives up at its deadline, and its word can be
            # here before the deadline that was reckoned here.
            late = context.time_remaining() < _NEARLY
            return (grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED), "nobody waits any more"
        status = status_of(error, call.request_id, **call.trace)
        known = error.trailers if isinstance(error, RequestError) else ()
        details = (REQUEST_ID, call.request_id), (_DETAILS, status.SerializeToString())
        context.set_trailing_metadata((*details, *known))
        return _CODES[status.code], status.message

    def _end(self, call: Call, code: grpc.StatusCode, *, counted: bool) -> None:
        if counted:
            self._admission.leave(*call.held)
            self._admission.answered()
            if not call.context.add_callback(self._admission.sent):
                self._admission.sent()
        if call.method not in METHODS:
            return
        seconds = time.perf_counter() - call.began
        self._row.ended(call.method, code, seconds)
        facts: dict[str, Any] = {"documents": call.documents, "tokens": call.tokens, "request_id": call.request_id}
        if call.span:
            call.span.end(code, **facts)
        if _log.isEnabledFor(logging.DEBUG):
            facts |= {"method": call.method, "code": code.name, "seconds": round(seconds, 6)}
            event(_log, logging.DEBUG, "call", **facts, **call.trace)


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
