"""grpcio's server, and a fast path beside it for unary calls.

grpcio itself runs streams, questions about health and the model, and all calls if it does not support the fast path. It
handles each method as a stream of bytes, which it is on the wire: so a handler runs even if no request comes, and the
call is counted.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc

from paravec_model.errors import StoppedError

from .call import Call, CallResult, RpcMethod, StreamRunner
from .compute_slots import ComputeSlots
from .fast_path.completion_queue import is_supported
from .fast_path.fast_path import FastPath
from .thread_pool import InlineExecutor

_INLINE = InlineExecutor(1)


class RpcServer:
    """A gRPC server of the methods of a runner."""

    def __init__(
        self,
        runner: StreamRunner,
        slots: ComputeSlots,
        options: Sequence[tuple[str, Any]] = (),
        *,
        fast_path: bool = True,
        max_wait: float = 30.0,
    ) -> None:
        """`slots`: run the calls of the fast path; their executor runs the others, but for methods that have an
        executor of their own. `options`: channel arguments. `fast_path`: take unary calls straight from gRPC's
        completion queue, if this grpcio supports it. `max_wait`: seconds that a short call may wait there.

        All methods are registered with gRPC's core, which then keeps a queue for each: many calls of one method do not
        hold up calls of others.
        """
        handlers = GenericHandlers(runner)
        self._server = grpc.server(slots.executor, interceptors=[handlers], options=options)
        use_fast_path = fast_path and is_supported(self._server)
        self._fast_path = FastPath(self._server, runner, slots, max_wait) if use_fast_path else None
        for name, method in runner.methods.items():
            if self._fast_path and method.executor is None and not method.server_streaming:
                self._fast_path.add(name, method)
            else:
                _, service, short_name = name.split("/")
                self._server.add_registered_method_handlers(service, {short_name: handlers.default})
        self.add_insecure_port = self._server.add_insecure_port
        self.add_secure_port = self._server.add_secure_port
        self.stop = self._server.stop

    @property
    def has_fast_path(self) -> bool:
        """Whether unary calls take the fast path."""
        return self._fast_path is not None

    @property
    def stuck_seconds(self) -> float:
        """How long the fast path has made no progress."""
        return self._fast_path.stuck_seconds if self._fast_path else 0.0

    def start(self) -> None:
        """Begin to serve."""
        self._server.start()
        if self._fast_path:
            self._fast_path.start()


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
