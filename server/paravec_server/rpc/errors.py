"""Every way in which a call can fail, and the one place that turns an error into a gRPC status.

RequestError                    carries a google.rpc.Status
├── InvalidArgumentError        BadRequest with the path of the field
│   ├── TooManyTokensError      a document is too long
│   ├── MalformedError          the request is not a message of the contract
│   └── NoRequestError          the call ended without a request
├── UnauthenticatedError        no or wrong credentials
├── OverloadedError             ErrorInfo OVERLOADED, RetryInfo
├── NotFoundError               another model than the one served
├── UnknownTagsError            NOT_FOUND too: no training document has a tag; BadRequest names the first 64
├── NoDocumentsError            the model carries no training documents
├── NoLexicalIndexError         the model has no lexical index
└── NotReadyError               the model is loading, or the server drains
"""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from ..telemetry.logs import event

DOMAIN = "paravec"

# Clients accept trailers of 8 KiB. Each field takes 70 bytes of them, in base64.
_NAMED = 64

_log = logging.getLogger(__name__)


class RequestError(Exception):
    """A call, or one document of a stream, fails for a reason that the caller can act on."""

    trailers: tuple[tuple[str, str], ...] = ()
    """Trailing metadata beside the status."""

    def __init__(self, code: int, text: str, *details: message.Message) -> None:
        super().__init__(text)
        self.status = make_status(code, text, *details)


class InvalidArgumentError(RequestError):
    """A field of the request is wrong; `field` is its path, e.g. documents[3].text."""

    def __init__(self, field: str, problem: str) -> None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=problem)
        details = error_details_pb2.BadRequest(field_violations=[violation])
        super().__init__(code_pb2.INVALID_ARGUMENT, f"{field}: {problem}", details)


class TooManyTokensError(InvalidArgumentError):
    """The document at `field` has more tokens than the server accepts."""

    def __init__(self, field: str, count: int, limit: int) -> None:
        super().__init__(field, f"has {count} tokens, at most {limit} are accepted (see the option truncate)")


class MalformedError(InvalidArgumentError):
    """The bytes of a request do not parse as the message `name`."""

    def __init__(self, name: str) -> None:
        super().__init__("request", f"is not a {name} (text must be UTF-8, and lists not be nested deeply)")


class NoRequestError(InvalidArgumentError):
    """The caller ended its side of the call without a request."""

    def __init__(self) -> None:
        super().__init__("request", "is missing")


class UnauthenticatedError(RequestError):
    """Credentials are missing or wrong. The caller is not told which."""

    def __init__(self) -> None:
        super().__init__(code_pb2.UNAUTHENTICATED, "credentials are missing or wrong")


class OverloadedError(RequestError):
    """Too many calls, streams or bytes or too much work is in flight, or the call has waited too long."""

    def __init__(self, what: str, retry_milliseconds: int) -> None:
        Exception.__init__(self, what)
        self.status = _overloaded(what, retry_milliseconds)
        # gRPC's retry policies use this instead of their own backoff.
        self.trailers = (("grpc-retry-pushback-ms", str(retry_milliseconds)),)


_OVERLOADED = {
    "calls": "too many calls in flight",
    "streams": "too many streams in flight",
    "bytes": "too many bytes in flight",
    "work": "too much work in flight",
    "waited": "waited too long for its turn",
}


@cache
def _overloaded(what: str, retry_milliseconds: int) -> status_pb2.Status:
    """Cached, since an overloaded server must refuse fast."""
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(retry_milliseconds)
    return make_status(
        code_pb2.RESOURCE_EXHAUSTED,
        f"{_OVERLOADED[what]}, try again later",
        error_details_pb2.ErrorInfo(reason="OVERLOADED", domain=DOMAIN),
        error_details_pb2.RetryInfo(retry_delay=delay),
    )


class WaitedTooLongError(Exception):
    """A call waited longer than `max-wait-seconds`; the dispatcher turns this into an OverloadedError."""


class NotFoundError(RequestError):
    """The request names a model that this server does not serve."""

    def __init__(self, text: str) -> None:
        super().__init__(code_pb2.NOT_FOUND, text)


class UnknownTagsError(RequestError):
    """No training document has some of the tags; `fields` are their paths, e.g. tags[3]. The first 64 are named."""

    def __init__(self, fields: Sequence[str]) -> None:
        problem = "no training document has this tag"
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=problem) for field in fields[:_NAMED]
        ]
        details = error_details_pb2.BadRequest(field_violations=violations)
        super().__init__(code_pb2.NOT_FOUND, f"{fields[0]}: {problem}", details)


class NoDocumentsError(RequestError):
    """The model carries no training documents to search."""

    def __init__(self) -> None:
        problem = "the model carries no documents to find; make it with --doctags, or index some"
        super().__init__(code_pb2.FAILED_PRECONDITION, problem)


class NoLexicalIndexError(RequestError):
    """The model has no lexical index to weigh."""

    def __init__(self) -> None:
        problem = "the model has no lexical index; make one, or leave lexical_weight out"
        super().__init__(code_pb2.FAILED_PRECONDITION, problem)


class NotReadyError(RequestError):
    """The model is still loading, or the server drains."""

    def __init__(self, text: str) -> None:
        super().__init__(code_pb2.UNAVAILABLE, text)


def parse(kind: type[message.Message], data: bytes) -> Any:
    """Parse a message; MalformedError if `data` does not hold one."""
    try:
        return kind.FromString(data)
    except message.DecodeError:
        raise MalformedError(kind.DESCRIPTOR.full_name) from None


def make_status(code: int, text: str, *details: message.Message) -> status_pb2.Status:
    """A google.rpc.Status with its details packed."""
    status = status_pb2.Status(code=code, message=text)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def status_of(error: Exception, request_id: str, **trace: str) -> status_pb2.Status:
    """The status for `error`. A fault of ours is logged with its location, and the caller gets the request id."""
    if isinstance(error, RequestError):
        return error.status
    # The exception's text may quote a document, so only its type and location are logged.
    event(_log, logging.ERROR, "internal error", request_id=request_id, **trace, **error_location(error))
    details = error_details_pb2.RequestInfo(request_id=request_id)
    return make_status(code_pb2.INTERNAL, f"internal error, id {request_id}", details)


def error_location(error: BaseException) -> dict[str, Any]:
    """An exception's type, and where it was raised, for the log."""
    frames = []
    trace = error.__traceback__
    while trace:
        frames.append(f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}")
        trace = trace.tb_next
    return {"error": type(error).__name__, "at": " > ".join(frames[-6:])}
