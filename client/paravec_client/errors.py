"""What the client raises. Callers need no gRPC type to handle these.

ParavecError
├── InvalidArgumentError      a document or an option is invalid; `violations` names the fields
├── OverloadedError           the server is overloaded, or a message is too large; `retry_after`
├── UnavailableError          no server answers, or it is loading its model or shutting down
├── UnauthenticatedError      the token or certificate is missing or wrong
├── DeadlineError             the call took longer than its timeout
├── CancelledError            the call was cancelled, or the client is closed
├── ConfigError               a setting, certificate or token is unusable
├── ForkedError               the process was forked while gRPC was in use
├── ModelChangedError         the servers switched to another model during a list or stream
├── NotFoundError             no training document has a tag; `violations` names the first 64
├── UnsupportedError          the server or its model does not support the call
└── ServerError               the server failed; `request_id` is in its log
"""

import re
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import message
from google.rpc import error_details_pb2, status_pb2


@dataclass(frozen=True)
class FieldViolation:
    """An invalid field of the request, as in google.rpc.BadRequest.

    Attributes:
        field: Path of the field, e.g. documents[3].text.
        description: What is wrong with it.
    """

    field: str
    description: str


class ParavecError(Exception):
    """Base class of all errors of the client.

    Attributes:
        code: Name of the gRPC status, e.g. UNAVAILABLE.
        violations: The invalid fields; empty if the error is not about fields.
        retry_after: Seconds to wait before a retry, as the server advises; None if it gives no advice.
        request_id: Id of the call in the server's log; "" if it has none.
    """

    def __init__(
        self,
        text: str,
        *,
        code: str = "UNKNOWN",
        violations: Iterable[FieldViolation] = (),
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(text)
        self.code = code
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.request_id = request_id

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle all attributes, whatever arguments the subclass's constructor takes."""
        return _rebuild, (type(self), self.args), self.__dict__


def _rebuild(kind: type[ParavecError], args: tuple[Any, ...]) -> ParavecError:
    return kind.__new__(kind, *args)


class InvalidArgumentError(ParavecError):
    """A document or an option is invalid."""


class OverloadedError(ParavecError):
    """The server is overloaded, or a message is too large for it."""


class UnavailableError(ParavecError):
    """No server answers, or it is loading its model or shutting down."""


class UnauthenticatedError(ParavecError):
    """The token or certificate is missing or wrong."""


class DeadlineError(ParavecError):
    """The call took longer than its timeout."""


class CancelledError(ParavecError):
    """The call was cancelled, or the client is closed."""


class ConfigError(ParavecError):
    """A setting, certificate or token is unusable. Raised before any call."""


class ForkedError(ParavecError):
    """The process was forked while gRPC was in use. A child does not have gRPC's threads, so its calls would hang."""

    def __init__(self) -> None:
        super().__init__(
            "gRPC was in use when this process was forked (a call or stream in progress, a server, grpc.aio, or the "
            "caller's own channel), so it is unusable here: fork when gRPC is idle, or start processes with "
            'multiprocessing\'s "spawn" or "forkserver"',
            code="FAILED_PRECONDITION",
        )


class ModelChangedError(ParavecError):
    """The servers switched to another model during a list or stream. Vectors of two models are not comparable.

    Attributes:
        before: Version of the model at first.
        after: Version of the model now.
    """

    def __init__(self, before: str, after: str) -> None:
        self.before, self.after = before, after
        text = f"the model changed from version {before} to {after} between two calls; embed all documents again"
        super().__init__(text, code="ABORTED")


class NotFoundError(ParavecError):
    """No training document of the model has a tag; `violations` names the first 64 of a call."""


class UnsupportedError(ParavecError):
    """The call needs a newer server, or another model, such as one with training documents."""


class ServerError(ParavecError):
    """The server failed, or is not a paravec server."""


_BY_CODE: dict[str, type[ParavecError]] = {
    "INVALID_ARGUMENT": InvalidArgumentError,
    "RESOURCE_EXHAUSTED": OverloadedError,
    "UNAVAILABLE": UnavailableError,
    "UNAUTHENTICATED": UnauthenticatedError,
    "DEADLINE_EXCEEDED": DeadlineError,
    "CANCELLED": CancelledError,
    "NOT_FOUND": NotFoundError,
    "FAILED_PRECONDITION": UnsupportedError,
    "UNIMPLEMENTED": UnsupportedError,
}

_CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

_DETAIL_TYPES: tuple[type[message.Message], ...] = (
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
    error_details_pb2.RequestInfo,
)

# grpc.aio reports this if the call ends while it sends the request. The server's own status is lost; a retry gets it.
_SEND_INTERRUPTED = "Internal error from Core"


def from_rpc_error(error: grpc.RpcError, request_id: str = "") -> ParavecError:
    """The client's error for a failed call, with `error` as its cause. A request id from the server wins over
    `request_id`."""
    failure = _convert(error)
    failure.__cause__ = error
    failure.request_id = failure.request_id or request_id
    return failure


def _convert(error: grpc.RpcError) -> ParavecError:
    # grpc.aio.AioRpcError is not a grpc.Call.
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return ParavecError(str(error))
    if error.details() == _SEND_INTERRUPTED:
        return _make("UNAVAILABLE", "the call ended while its request was being sent")
    # grpc.aio's Metadata is a mapping, but dict() of an older one fails; iter() gives its pairs.
    trailers: dict[str, Any] = dict(iter(error.trailing_metadata() or ()))
    if details := trailers.get("grpc-status-details-bin"):
        status = status_pb2.Status()
        status.ParseFromString(details)
        failure = from_status(status)
    else:
        failure = _make(error.code().name, error.details() or "")
    failure.request_id = failure.request_id or str(trailers.get("x-request-id", ""))
    return failure


def from_status(status: status_pb2.Status) -> ParavecError:
    """The client's error for a google.rpc.Status, of a call or of one document in a stream."""
    return _make(_CODE_NAMES.get(status.code, "UNKNOWN"), status.message, status)


def _make(code: str, text: str, status: status_pb2.Status | None = None) -> ParavecError:
    violations: list[FieldViolation] = []
    retry_after, request_id = None, ""
    for packed in status.details if status else ():
        for detail_type in _DETAIL_TYPES:
            detail = detail_type()
            if not packed.Unpack(detail):
                continue
            if isinstance(detail, error_details_pb2.BadRequest):
                violations += [FieldViolation(v.field, v.description) for v in detail.field_violations]
            elif isinstance(detail, error_details_pb2.RetryInfo):
                retry_after = detail.retry_delay.ToMilliseconds() / 1000
            elif isinstance(detail, error_details_pb2.RequestInfo):
                request_id = detail.request_id
    error_type = _BY_CODE.get(code, ServerError)
    return error_type(text, code=code, violations=violations, retry_after=retry_after, request_id=request_id)


def with_offset(error: ParavecError, offset: int) -> ParavecError:
    """A copy with `offset` added to its numbers of documents, queries or tags, for one batch of a list."""
    return _rename_fields(
        error,
        lambda path: re.sub(r"^(documents|queries|tags)\[(\d+)\]", lambda f: f"{f[1]}[{int(f[2]) + offset}]", path),
    )


def with_document_number(error: ParavecError, number: int) -> ParavecError:
    """A copy that names `documents[number]` where the server's stream names only `document`."""
    return _rename_fields(error, lambda path: re.sub(r"^document\b", f"documents[{number}]", path))


def _rename_fields(error: ParavecError, rename: Callable[[str], str]) -> ParavecError:
    renamed = copy(error)
    # The text begins with the path of the field.
    renamed.args = (rename(str(error)),)
    renamed.violations = tuple(FieldViolation(rename(v.field), v.description) for v in error.violations)
    return renamed
