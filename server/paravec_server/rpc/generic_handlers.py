"""Calls that grpcio's own server runs: streams, health and model questions, and all calls without a fast path.

Each method is handled as a stream of bytes, which it is on the wire. So its handler runs even if no request comes, and
the call is counted.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc

from paravec_model.errors import StoppedError

from .call import Call, CallResult, RpcMethod, StreamRunner
from .thread_pool import InlineExecutor

_INLINE = InlineExecutor(1)


class GenericHandlers(grpc.ServerInterceptor):
    """Tells grpcio how to handle each call as it comes. Refusals are sent at once, on gRPC's own thread."""

    def __init__(self, runner: StreamRunner) -> None:
        self._runner = runner
        self.default = _handler(self._handle, None)
        """For registered methods; `intercept_service` replaces it for each call."""

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """The handler for a call; grpcio calls this once the metadata is there."""
        if details.method not in self._runner.methods:
            return continuation(details)
        method, call, error = self._runner.begin(details.method, details.invocation_metadata)
        if error:
            return _handler(partial(self._handle_refusal, call, error), _INLINE)
        if method.server_streaming:
            return _handler(partial(self._handle_stream, method, call), method.executor, streaming=True)
        return _handler(partial(self._handle, method, call), method.executor)

    def _handle_refusal(self, call: Call, error: Exception, _: Any, context: grpc.ServicerContext) -> None:
        call.context = context
        _finish(context, self._runner.refuse(call, error))

    def _handle(self, method: RpcMethod, call: Call, requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
        call.context = context
        result = self._runner.run(method, call, _received(requests))
        _finish(context, result)
        return result.response

    def _handle_stream(
        self, method: RpcMethod, call: Call, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        call.context = context
        result = yield from self._runner.run_stream(method, call, _received(requests))
        _finish(context, result)


def _finish(context: grpc.ServicerContext, result: CallResult) -> None:
    """Set the status and trailers of a call; aborts it if it has failed."""
    if result.trailers:
        context.set_trailing_metadata(result.trailers)
    if result.response is None:
        context.abort(result.code, result.details)


def _received(requests: Iterator[bytes]) -> Iterator[bytes]:
    """The requests of a call; StoppedError if the call ends before they do."""
    try:
        yield from requests
    except grpc.RpcError as error:
        # gRPC keeps this error with the call, and its traceback would keep the call in a reference cycle.
        error.__traceback__ = None
        raise StoppedError("the caller has gone") from None


def _handler(run: Callable[..., Any], executor: ThreadPoolExecutor | None, *, streaming: bool = False) -> Any:
    """A handler of bytes; runs on `executor` if there is one."""
    if executor is not None:
        # grpcio's own interface for this, which it calls experimental.
        run.experimental_thread_pool = executor  # type: ignore[attr-defined]
    return grpc.stream_stream_rpc_method_handler(run) if streaming else grpc.stream_unary_rpc_method_handler(run)
