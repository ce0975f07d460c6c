"""One call, what the server knows of an RPC method, and how a call ends."""

import time
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import grpc

from .admission import Admission, Reservation

if TYPE_CHECKING:
    from ..telemetry.tracing import CallSpan
    from .slot import Slot

CANCELLATION_DELAY_SECONDS = 0.02
"""How long to wait for a cancellation after the last message: gRPC reports the end of the messages first."""

Trailers = tuple[tuple[str, str | bytes], ...]


class CallResult(NamedTuple):
    """How a call ends: a response or none, and its status."""

    response: bytes | None
    """None if the call failed."""
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""
    """The status message."""
    trailers: Trailers = ()


class Batcher(Protocol):
    """Runs short calls together: calls that take less time than to hand them to another thread."""

    def batch_key(self, call: "Call", message: bytes) -> Hashable | None:
        """Calls with equal keys may run as one batch; None if this call is too large to batch."""

    def run_batch(self, calls: "Sequence[Call]") -> Sequence[bytes]:
        """The responses of calls with equal keys, in order."""


def _no_seconds(_: int) -> float:
    return 0.0


@dataclass(frozen=True, eq=False)
class RpcMethod:
    """A method of a gRPC service, and how the server treats its calls.

    `handler` takes the call and its request, or an iterator of requests if `client_streaming`. It returns the response,
    or an iterator of responses if `server_streaming`. Requests and responses are serialized messages.
    """

    handler: Callable[..., Any]
    client_streaming: bool = False
    server_streaming: bool = False
    has_request: bool = True
    """False if the request is empty; the call is then answered without waiting for it."""
    limited: bool = True
    """Whether the admission limits apply. If not, calls are answered however busy the server is."""
    public: bool = False
    """Whether it is answered without credentials."""
    executor: ThreadPoolExecutor | None = None
    """Where its calls run; None for the server's own pool."""
    max_waiting: int = 8_000
    """How many calls may wait for their request. One more cancels the call that waits longest."""
    waiting: "dict[Call, float]" = field(default_factory=dict)
    """Calls that wait for their request, and since when by the monotonic clock, oldest first."""
    batcher: Batcher | None = None
    """Runs short calls of this method in batches; None if no call is short."""
    estimate_seconds: Callable[[int], float] = _no_seconds
    """About how many seconds one core computes for a request of so many bytes."""

    def await_request(self, call: "Call") -> None:
        """Note that a call waits for its request."""
        if len(self.waiting) >= self.max_waiting and (oldest := next(iter(self.waiting.copy()), None)):
            oldest.context.cancel()
        self.waiting[call] = time.monotonic()


class Call:
    """One call in progress."""

    def __init__(self, method: str, request_id: str, trailers: Trailers, admission: Admission) -> None:
        self.method, self.request_id, self.trailers = method, request_id, trailers
        self.began = time.perf_counter()
        self.context: Any = None
        """grpcio's context, or the fast path's."""
        self.documents = self.tokens = 0
        """How many it has embedded so far."""
        self.admitted = self.ended = False
        self.reservation: Reservation | None = None
        """What it holds of the limits; None if it is short, or has ended."""
        self.request: Any = None
        """Its request, if it was parsed when the batch key was computed."""
        self.span: CallSpan | None = None
        self.slot: Slot | None = None
        """Its compute slot, if it runs in one from its start."""
        self._admission = admission
        self._callback: Callable[[], None] | None = None

    @property
    def peer(self) -> str:
        """The address of its connection."""
        return str(self.context.peer())

    def reserve(self, size: int, work: float, *, is_stream: bool) -> None:
        """Count a request of `size` bytes and `work` seconds as in flight; OverloadedError beyond the limits."""
        self.reservation = self._admission.reserve(self.peer, size=size, work=work, is_stream=is_stream)

    def set_work(self, seconds: float) -> None:
        """Correct the estimate of how long it computes."""
        if self.reservation:
            self._admission.set_work(self.reservation, seconds)

    def add_bytes(self, size: int) -> None:
        """Count bytes of requests as in flight; a negative size takes them off again."""
        if self.reservation:
            self._admission.add_bytes(self.reservation, size)

    @property
    def facts(self) -> dict[str, Any]:
        """What logs and traces say about it."""
        return {"documents": self.documents, "tokens": self.tokens, "request_id": self.request_id}

    @property
    def trace(self) -> dict[str, str]:
        """Fields that join a line of the log to the call's trace; empty if it is not traced."""
        return self.span.log_fields if self.span else {}

    def is_cancelled(self) -> bool:
        """Whether nobody waits for the response: the caller has gone, or the deadline has passed."""
        return not self.context.is_active()

    def on_cancel(self, callback: Callable[[], None]) -> bool:
        """Call `callback` when the call ends. It replaces the callback set before; False if the call has ended."""
        first, self._callback = self._callback is None, callback
        # grpcio keeps every callback until the call ends, and a stream may wait for a slot many times.
        return bool(self.context.add_callback(self._run_callback)) if first else not self.is_cancelled()

    def _run_callback(self) -> None:
        if self._callback:
            self._callback()


class CallRunner(Protocol):
    """Runs unary calls from their start to their end."""

    def begin(self, name: str, metadata: Any) -> tuple[RpcMethod, Call, Exception | None]:
        """Start a call of the method `name`; the error is why it must be refused."""

    def refuse(self, call: Call, error: Exception) -> CallResult:
        """End a call that does not run."""

    def reserve(self, method: RpcMethod, call: Call, size: int) -> None:
        """Count a request of `size` bytes as in flight; OverloadedError beyond the limits."""

    def run(self, method: RpcMethod, call: Call, requests: Iterator[bytes]) -> CallResult:
        """Run a call with one response, and end it."""

    def run_batch(self, batcher: Batcher, calls: Sequence[Call]) -> Sequence[CallResult] | None:
        """Run calls with equal keys, and end them; None if the batch fails, and then no call has ended."""

    def abandon(self, call: Call, error: Exception) -> None:
        """End a call after a fault of ours, whatever state it is in."""


class StreamRunner(CallRunner, Protocol):
    """Runs calls of all kinds."""

    @property
    def methods(self) -> Mapping[str, RpcMethod]:
        """The methods by full name, /package.Service/Method."""

    def run_stream(
        self, method: RpcMethod, call: Call, requests: Iterator[bytes]
    ) -> Generator[bytes, None, CallResult]:
        """Run a call with a stream of responses, and end it. The generator returns the CallResult."""
