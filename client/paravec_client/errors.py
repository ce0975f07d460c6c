"""What a call can raise. No grpc type needs to be imported to handle these.

ParavecError
├── InvalidArgumentError      a document or an option is at fault; `violations` says which
├── OverloadedError           the server has too much to do, or a message is too large; `retry_after`
├── UnavailableError          no server, one that is loading its model, or one that drains
├── UnauthenticatedError      no or wrong credentials
├── DeadlineError             the call took longer than its timeout
├── CancelledError            the call was cancelled
├── ConfigError               certificates, a token or a setting that a client cannot be made with
├── ForkedError               the process was forked while gRPC was in use
├── ModelChangedError         the servers moved to another model in the middle of a list or stream
├── UnsupportedError          the server or its model cannot do this at all
└── ServerError               a fault of the server; `request_id` is in its log
"""

import re
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

import grpc
from google.protobuf import message
from google.rpc import error_details_pb2, status_pb2


@dataclass(frozen=True)
class FieldViolation:
    """A field of the request that is at fault.

    Attributes:
        field: Path of the field, e.g. documents[3].text.
        description: What is wrong with it.
    """

    field: str
    description: str


class ParavecError(Exception):
    """Base of all errors of the client.

    Attributes:
        code: Name of the gRPC status.
        violations: Fields at fault.
        retry_after: Seconds after which the server would like to be asked again; None if it does not say.
        request_id: Id of the call, which is in the server's log; "" if it has none.
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
        """Copies and pickles keep all attributes, whatever a class's constructor takes."""
        return _made_again, (type(self), self.args), self.__dict__

    def shifted(self, offset: int) -> Self:
        """The same error, with `offset` added to the numbers of its documents: a call may be one batch of several."""
        return self._renamed(
            lambda text: re.sub(r"^(documents|queries)\[(\d+)\]", lambda f: f"{f[1]}[{int(f[2]) + offset}]", text)
        )

    def of_document(self, number: int) -> Self:
        """The same error, with the document's number in what the server, in a stream, just calls `document`."""
        return self._renamed(lambda text: re.sub(r"^document\b", f"documents[{number}]", text))

    def _renamed(self, rename: Callable[[str], str]) -> Self:
        renamed = copy(self)
        renamed.args = (rename(str(self)),)
        renamed.violations = tuple(FieldViolation(rename(v.field), v.description) for v in self.violations)
        return renamed


def _made_again(kind: type[ParavecError], args: tuple[Any, ...]) -> ParavecError:
    return kind.__new__(kind, *args)


class InvalidArgumentError(ParavecError):
    """A document or an option is at fault."""


class OverloadedError(ParavecError):
    """The server has too much to do, or a message is too large for it."""


class UnavailableError(ParavecError):
    """No server answers, or it is loading its model, or draining."""


class UnauthenticatedError(ParavecError):
    """No or wrong credentials."""


class DeadlineError(ParavecError):
    """The call took longer than its timeout."""


class CancelledError(ParavecError):
    """The call was cancelled."""


class ConfigError(ParavecError):
    """Certificates, a token or a setting that a client cannot be made with; raised before any call."""


class ForkedError(ParavecError):
    """The process was forked while gRPC was in use: its threads are not in the fork, and calls there would hang."""

    def __init__(self) -> None:
        super().__init__(
            "gRPC was in use when this process was forked (a call or stream in progress, a server, grpc.aio, or a "
            "channel of the caller's own), and cannot be used in it: fork without these, or start processes by "
            'multiprocessing\'s "spawn" or "forkserver"',
            code="FAILED_PRECONDITION",
        )


class ModelChangedError(ParavecError):
    """The servers moved to another model in the middle of a list or stream: its vectors would not be comparable.

    Attributes:
        before, after: Versions of the models.
    """

    def __init__(self, before: str, after: str) -> None:
        self.before, self.after = before, after
        text = f"the model changed from version {before} to {after} between two calls; embed all anew"
        super().__init__(text, code="ABORTED")


class UnsupportedError(ParavecError):
    """What is asked for needs another model, one that carries documents say, or a newer server."""


class ServerError(ParavecError):
    """A fault of the server, or a server that is not paravec."""


_BY_CODE: dict[str, type[ParavecError]] = {
    "INVALID_ARGUMENT": InvalidArgumentError,
    "RESOURCE_EXHAUSTED": OverloadedError,
    "UNAVAILABLE": UnavailableError,
    "UNAUTHENTICATED": UnauthenticatedError,
    "DEADLINE_EXCEEDED": DeadlineError,
    "CANCELLED": CancelledError,
    "FAILED_PRECONDITION": UnsupportedError,
    "UNIMPLEMENTED": UnsupportedError,
}

_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

_DETAILS: tuple[type[message.Message], ...] = (
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
    error_details_pb2.RequestInfo,
)


# What grpc.aio says if a call ends while it sends. What the server said of it is lost; asked again, it says it again.
_CUT_OFF = "Internal error from Core"


def from_call(error: grpc.RpcError, request_id: str = "") -> ParavecError:
    """The error for a failed call, which is its cause; `request_id` if the server does not tell another."""
    failure = _of_call(error)
    failure.__cause__ = error
    failure.request_id = failure.request_id or request_id
    return failure


def _of_call(error: grpc.RpcError) -> ParavecError:
    # Those of grpc.aio are no grpc.Call.
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return ParavecError(str(error))
    if error.details() == _CUT_OFF:
        return _make("UNAVAILABLE", "the call ended while its message was on its way")
    # Older ones of grpc.aio look like a mapping and are none.
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
    """The error for a google.rpc.Status, of a call or of one document of a stream."""
    return _make(_NAMES.get(status.code, "UNKNOWN"), status.message, status)


def _make(code: str, text: str, status: status_pb2.Status | None = None) -> ParavecError:
    violations: list[FieldViolation] = []
    retry_after, request_id = None, ""
    for packed in status.details if status else ():
        for kind in _DETAILS:
            detail = kind()
            if not packed.Unpack(detail):
                continue
            if isinstance(detail, error_details_pb2.BadRequest):
                violations += [FieldViolation(v.field, v.description) for v in detail.field_violations]
            elif isinstance(detail, error_details_pb2.RetryInfo):
                retry_after = detail.retry_delay.ToMilliseconds() / 1000
            elif isinstance(detail, error_details_pb2.RequestInfo):
                request_id = detail.request_id
    kind_of_error = _BY_CODE.get(code, ServerError)
    return kind_of_error(text, code=code, violations=violations, retry_after=retry_after, request_id=request_id)
