"""Every way in which a call can fail, and the one place that turns it into a gRPC status.

RequestError                    carries a google.rpc.Status
├── InvalidArgumentError        BadRequest with the path of the field
│   └── MalformedError          the bytes are no message of the contract
├── OverloadedError             ErrorInfo OVERLOADED, RetryInfo
└── NotReadyError               the model is loading, or the server drains
"""

import logging
import secrets
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from paravec_model.errors import StoppedError

from .logs import event

DOMAIN = "paravec"

MALFORMED = object()
"""Stands in for a request whose bytes could not be read."""

_log = logging.getLogger(__name__)
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class RequestError(Exception):
    """A call, or one document of a stream, that fails for a reason that the caller is told."""

    def __init__(self, code: int, text: str, *details: message.Message) -> None:
        super().__init__(text)
        self.status = make_status(code, text, *details)


class InvalidArgumentError(RequestError):
    """A field of the request is at fault; `field` is its path, e.g. documents[3].text."""

    def __init__(self, field: str, problem: str) -> None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=problem)
        details = error_details_pb2.BadRequest(field_violations=[violation])
        super().__init__(code_pb2.INVALID_ARGUMENT, f"{field}: {problem}", details)


class MalformedError(InvalidArgumentError):
    """The bytes of a request are no message of the contract."""

    def __init__(self) -> None:
        super().__init__("request", "is not a message of paravec.v1 (text must be UTF-8)")


class OverloadedError(RequestError):
    """More work is in progress than the server takes on."""

    def __init__(self, retry_seconds: float) -> None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(retry_seconds * 1000))
        super().__init__(
            code_pb2.RESOURCE_EXHAUSTED,
            "too many calls in progress, try again later",
            error_details_pb2.ErrorInfo(reason="OVERLOADED", domain=DOMAIN),
            error_details_pb2.RetryInfo(retry_delay=delay),
        )


class NotReadyError(RequestError):
    """The model is still loading, or the server drains."""

    def __init__(self, text: str) -> None:
        super().__init__(code_pb2.UNAVAILABLE, text)


def make_status(code: int, text: str, *details: message.Message) -> status_pb2.Status:
    """A google.rpc.Status with its details packed."""
    status = status_pb2.Status(code=code, message=text)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def status_of(error: Exception) -> status_pb2.Status:
    """The status for `error`. A fault of ours gets an id, which is logged with the trace and told to the caller."""
    if isinstance(error, RequestError):
        return error.status
    request_id = secrets.token_hex(8)
    # The exception's own text may quote the document, so only its kind and place are logged.
    event(_log, logging.ERROR, "internal error", request_id=request_id, **_place(error))
    details = error_details_pb2.RequestInfo(request_id=request_id)
    return make_status(code_pb2.INTERNAL, f"internal error, id {request_id}", details)


def _place(error: BaseException) -> dict[str, Any]:
    frames = []
    trace = error.__traceback__
    while trace:
        frames.append(f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}")
        trace = trace.tb_next
    return {"error": type(error).__name__, "at": " > ".join(frames[-6:])}


def unary(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a unary handler, so that what it raises becomes the call's status."""

    @wraps(handler)
    def wrapped(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            if request is MALFORMED:
                raise MalformedError
            return handler(self, request, context)
        except Exception as error:
            return _abort(context, error)

    return wrapped


def streaming(handler: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Wrap a streaming handler, so that what it raises becomes the stream's status."""

    @wraps(handler)
    def wrapped(self: Any, requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            yield from handler(self, requests, context)
        except Exception as error:
            _abort(context, error)

    return wrapped


def _abort(context: grpc.ServicerContext, error: Exception) -> None:
    if isinstance(error, StoppedError):
        # Nobody hears this any more.
        context.abort(grpc.StatusCode.CANCELLED, "the caller is gone")
    status = status_of(error)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(_CODES[status.code], status.message)
