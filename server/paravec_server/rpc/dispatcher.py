"""The life of every call: begun or refused, run, ended with a status, counted, logged.

`Dispatcher.begin` sees a call once its metadata is there, and refuses it if it has no valid token or the server is not
ready. The limits apply once its request is there. Every call ends in `Dispatcher._end`, whatever happens.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import grpc

from paravec_model.errors import StoppedError

from ..security.bearer_tokens import BearerTokens
from ..telemetry.counters import COUNTED_METHODS, WorkerCounters
from ..telemetry.logs import event
from .admission import Admission
from .call import CANCELLATION_DELAY_SECONDS, Batcher, Call, CallResult, RpcMethod, Trailers
from .errors import NoRequestError, RequestError, UnauthenticatedError, WaitedTooLongError, error_location, status_of
from .thread_pool import log_failure

if TYPE_CHECKING:
    from ..telemetry.tracing import Tracing

REQUEST_ID = "x-request-id"
"""Metadata by which a caller may name a call. It comes back in the trailers. Other calls get an id here, which comes
back only if they fail: a trailer costs as much as a tenth of a short call."""

_VALID_ID = re.compile(r"[!-~]{1,128}")
_STATUS_DETAILS = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}

# How often calls are looked for whose callers keep the server waiting.
_STALL_CHECK_SECONDS = 1.0

# A cancellation this shortly before the deadline counts as DEADLINE_EXCEEDED: the caller's clock may be ahead.
_DEADLINE_MARGIN_SECONDS = 0.05

# The result of a call that raised before it had another.
_INTERNAL = CallResult(None, grpc.StatusCode.INTERNAL, "internal error")

_log = logging.getLogger(__name__)


class Dispatcher:
    """Runs all calls of a server."""

    def __init__(
        self,
        methods: Mapping[str, RpcMethod],
        admission: Admission,
        counters: WorkerCounters,
        tokens: BearerTokens | None = None,
        tracing: "Tracing | None" = None,
        peer_seconds: float = 30.0,
    ) -> None:
        """`methods`: by full name, /package.Service/Method. `tokens`: one of which a call must carry. `peer_seconds`:
        how long a caller may take to send a request, or to take a response."""
        self.methods, self._admission, self._counters = methods, admission, counters
        self._tokens, self._tracing, self._peer_seconds = tokens, tracing, peer_seconds
        # Calls that have ended and whose responses are not sent, and since when by the monotonic clock.
        self._unsent: dict[Call, float] = {}
        self._id_prefix, self._id_numbers = token_hex(6), count()
        threading.Thread(target=self._cancel_stalled, name="cancel-stalled", daemon=True).start()

    def begin(self, name: str, metadata: Any) -> tuple[RpcMethod, Call, Exception | None]:
        """Start a call of the method `name`; the error is why it must be refused."""
        method = self.methods[name]
        call = Call(name.rpartition("/")[2], *self._request_id(metadata), self._admission)
        try:
            if self._tracing and call.method in COUNTED_METHODS:
                call.span = self._tracing.begin(name, metadata)
            if self._tokens and not method.public and not self._tokens.allow(metadata):
                self._counters.add("credentials")
                raise UnauthenticatedError
            if method.limited:
                self._admission.enter()
                call.admitted = True
        except Exception as error:
            return method, call, error
        return method, call, None

    def _request_id(self, metadata: Any) -> tuple[str, Trailers]:
        """The call's id, and the trailers with it if the caller has chosen it."""
        for key, value in metadata:
            if key == REQUEST_ID and _VALID_ID.fullmatch(value):
                return value, ((REQUEST_ID, value),)
        return f"{self._id_prefix}{next(self._id_numbers):x}", ()

    def reserve(self, method: RpcMethod, call: Call, size: int) -> None:
        """Count a request of `size` bytes as in flight; OverloadedError beyond the limits."""
        if call.admitted and not call.reservation:
            call.reserve(size, method.estimate_seconds(size), is_stream=method.server_streaming)

    def refuse(self, call: Call, error: Exception) -> CallResult:
        """End a call that does not run."""
        return self._end_with(call, lambda: self._failure(call, error))

    def run(self, method: RpcMethod, call: Call, requests: Iterator[bytes]) -> CallResult:
        """Run a call with one response, and end it."""

        def produce() -> CallResult:
            try:
                request = self._one_request(method, call, requests)
                self.reserve(method, call, len(request))
                return CallResult(method.handler(call, request), trailers=call.trailers)
            except Exception as error:
                return self._failure(call, error)

        return self._end_with(call, produce)

    def run_batch(self, batcher: Batcher, calls: Sequence[Call]) -> list[CallResult] | None:
        """Run calls with equal keys, and end them; None if the batch fails, and then no call has ended."""
        try:
            responses = batcher.run_batch(calls)
            results = [CallResult(one, trailers=call.trailers) for call, one in zip(calls, responses, strict=True)]
        except Exception as error:
            # The calls now run one by one, so only the one at fault fails.
            event(_log, logging.DEBUG, "batch failed", calls=len(calls), **error_location(error))
            for call in calls:
                call.documents = call.tokens = 0
            return None
        for call, result in zip(calls, results, strict=True):
            try:
                self._end(call, result)
            except Exception as error:
                log_failure(error)
        return results

    def run_stream(
        self, method: RpcMethod, call: Call, requests: Iterator[bytes]
    ) -> Generator[bytes, None, CallResult]:
        """Run a call with a stream of responses, and end it. The generator returns the CallResult."""
        result = _INTERNAL
        try:
            self.reserve(method, call, 0)
            argument = requests if method.client_streaming else self._one_request(method, call, requests)
            yield from method.handler(call, argument)
            if call.is_cancelled():
                raise StoppedError("the stream ended because its call was cancelled")
            result = CallResult(b"", trailers=call.trailers)
        except GeneratorExit:
            result = self._failure(call, StoppedError("the caller takes no more responses"))
            raise
        except Exception as error:
            result = self._failure(call, error)
        finally:
            self._end(call, result)
        return result

    def abandon(self, call: Call, error: Exception) -> None:
        """End a call after a fault of ours, whatever state it is in."""
        try:
            call.context.send(self.refuse(call, error))
        except Exception:
            call.context.abandon()

    def _one_request(self, method: RpcMethod, call: Call, requests: Iterator[bytes]) -> bytes:
        if not method.has_request:
            return b""
        method.await_request(call)
        try:
            return next(requests)
        except StopIteration:
            # gRPC reports the end of the requests before it reports that the call has ended.
            time.sleep(CANCELLATION_DELAY_SECONDS)
            raise (StoppedError("cancelled") if call.is_cancelled() else NoRequestError()) from None
        finally:
            method.waiting.pop(call, None)

    def _cancel_stalled(self) -> None:
        """Cancel calls whose request has not come, or whose response is not taken, within `peer_seconds`: they hold
        memory, and perhaps a thread."""
        while True:
            time.sleep(min(_STALL_CHECK_SECONDS, self._peer_seconds / 4))
            latest = time.monotonic() - self._peer_seconds
            for calls in (self._unsent, *(method.waiting for method in self.methods.values())):
                for call, since in calls.copy().items():
                    if since < latest:
                        try:
                            call.context.cancel()
                        except Exception as error:
                            log_failure(error)

    def _failure(self, call: Call, error: Exception) -> CallResult:
        """The status and details for `error`."""
        if isinstance(error, StoppedError):
            # Nobody receives this status; it is for the metrics.
            late = call.context.time_remaining() < _DEADLINE_MARGIN_SECONDS
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            return CallResult(None, code, "the caller no longer waits")
        if isinstance(error, WaitedTooLongError):
            error = self._admission.waited_too_long()
        status = status_of(error, call.request_id, **call.trace)
        trailers = error.trailers if isinstance(error, RequestError) else ()
        details = (REQUEST_ID, call.request_id), (_STATUS_DETAILS, status.SerializeToString())
        return CallResult(None, _CODES[status.code], status.message, (*details, *trailers))

    def _end_with(self, call: Call, produce: Callable[[], CallResult]) -> CallResult:
        """The result that `produce` returns; the call has then ended, whatever was raised."""
        result = _INTERNAL
        try:
            result = produce()
        finally:
            self._end(call, result)
        return result

    def _end(self, call: Call, result: CallResult) -> None:
        """End a call: free what it holds, count it and log it, once."""
        if call.ended:
            return
        call.ended = True
        if call.admitted:
            self._admission.leave(call.reservation, len(result.response or b""))
            self._unsent[call] = time.monotonic()
            try:
                pending = call.context.add_callback(partial(self._on_sent, call))
            except Exception as error:
                pending = False
                log_failure(error)
            if not pending:
                self._on_sent(call)
        if call.method not in COUNTED_METHODS:
            return
        seconds = time.perf_counter() - call.began
        self._counters.count_call(call.method, result.code, seconds)
        if call.span:
            try:
                call.span.end(result.code, **call.facts)
            except Exception as error:
                log_failure(error)
        if _log.isEnabledFor(logging.DEBUG):
            ended = {"method": call.method, "code": result.code.name, "seconds": round(seconds, 6)}
            event(_log, logging.DEBUG, "call", **call.facts, **ended, **call.trace)

    def _on_sent(self, call: Call) -> None:
        """gRPC has sent the response, or never will."""
        if self._unsent.pop(call, None) is not None:
            self._admission.sent(call.reservation)
