"""How grpcio's own server runs calls: streams, questions about the server, and all calls where they cannot go directly.

Each method is handled as a stream of bytes, which on the wire it is: so its handler runs even when no message comes,
and can tell.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import grpc

from paravec_model.errors import StoppedError

from .call import Call, Method
from .fast_path.completion_queue import Answer
from .fast_path.server import Answers
from .thread_pool import Inline

_INLINE = Inline(1)


class AllAnswers(Answers, Protocol):
    """Who runs the calls, streams too."""

    methods: Mapping[str, Method]

    def message(self, method: Method, call: Call, messages: Iterator[bytes]) -> bytes:
        """The call's one message."""

    def fail(self, call: Call, error: Exception) -> Answer:
        """How `error` ends the call."""

    def end(self, call: Call, answer: Answer) -> None:
        """The call has ended so."""


class Handlers(grpc.ServerInterceptor):
    """Tells grpcio how to handle each call as it comes. Refusals are answered at once, on gRPC's own thread."""

    def __init__(self, calls: AllAnswers) -> None:
        self._calls = calls
        self.default = _handler(self._handle, None)
        """For a method that gRPC's core knows of."""

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """How grpcio's server is to handle a call that has come."""
        if details.method not in self._calls.methods:
            return continuation(details)
        method, call, error = self._calls.enter(details.method, details.invocation_metadata)
        if error:
            return _handler(partial(self._handle_refusal, call, error), _INLINE)
        if method.responses:
            return _handler(partial(self._handle_many, method, call), method.pool, responses=True)
        return _handler(partial(self._handle, method, call), method.pool)

    def _handle_refusal(self, call: Call, error: Exception, _: Any, context: grpc.ServicerContext) -> None:
        call.context = context
        _finish(context, self._calls.refuse(call, error))

    def _handle(self, method: Method, call: Call, messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
        call.context = context
        answer = self._calls.answer(method, call, _received(messages))
        _finish(context, answer)
        return answer.data

    def _handle_many(
        self, method: Method, call: Call, messages: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        call.context = context
        messages = _received(messages)
        answer = Answer(None, grpc.StatusCode.INTERNAL)
        try:
            self._calls.hold(method, call, 0)
            yield from method.run(call, messages if method.requests else self._calls.message(method, call, messages))
            if call.stopped():
                raise StoppedError("the stream ended because its caller did")
            answer = Answer(b"", trailers=call.trailers)
        except GeneratorExit:
            answer = self._calls.fail(call, StoppedError("the caller takes no more"))
            raise
        except Exception as error:
            answer = self._calls.fail(call, error)
        finally:
            self._calls.end(call, answer)
        _finish(context, answer)


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
