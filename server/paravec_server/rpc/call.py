"""One call, and what a method is to those who run calls."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .admission import Admission, Held

if TYPE_CHECKING:
    from ..telemetry.tracing import CallSpan

MOMENT = 0.02
"""Seconds between the end of a call's messages and its own, if that is why they ended: gRPC tells them one by one."""

Trailers = tuple[tuple[str, str], ...]


class Brief(Protocol):
    """Runs brief calls: those that take less time than handing them to another thread."""

    def kind(self, call: "Call", data: bytes) -> Any:
        """What calls that may run together have in common, of this one with this message; None if it is not brief."""

    def run_together(self, calls: "Sequence[Call]") -> Sequence[bytes]:
        """The responses of calls of one kind."""


def _no_work(_: int) -> float:
    return 0.0


@dataclass(frozen=True, eq=False)
class Method:
    """A method of a service. `run` gets the call, and the bytes of its message or, if `requests`, an iterator of them;
    it returns the response, or if `responses` an iterator of them, as bytes."""

    run: Callable[..., Any]
    requests: bool = False
    responses: bool = False
    reads: bool = True
    """Its message says something; if not, it is answered without waiting for it."""
    counted: bool = True
    """Is work. What is not is answered however busy the server is."""
    open: bool = False
    """Is answered without credentials."""
    pool: ThreadPoolExecutor | None = None
    """Where it runs, if not with the others."""
    most_waiting: int = 8_000
    """How many of its calls may wait for their message; for one more, the one that waits longest is cancelled."""
    waiting: "dict[Call, float]" = field(default_factory=dict)
    """Its calls that wait for their message, and since when; who came first is first."""
    brief: "Brief | None" = None
    """How its brief calls are run, if there are any."""
    work: Callable[[int], float] = _no_work
    """About how many seconds a call computes whose message has so many bytes."""

    def await_message(self, call: "Call") -> None:
        """A call begins to wait for its message."""
        if len(self.waiting) >= self.most_waiting and (first := next(iter(self.waiting.copy()), None)):
            # More may wait; as this goes on, their turn comes, and that of who has something to ask.
            first.context.cancel()
        self.waiting[call] = time.monotonic()


class Call:
    """One call in progress."""

    def __init__(self, method: str, request_id: str, trailers: Trailers, admission: Admission) -> None:
        self.method, self.request_id, self.trailers = method, request_id, trailers
        self.began = time.perf_counter()
        self.context: Any = None
        self.documents = self.tokens = 0
        """What it has brought so far."""
        self.entered = self.ended = False
        """Whether it was taken on, and whether it has ended."""
        self.held: Held | None = None
        """What it has in flight, if it is not brief."""
        self.read: Any = None
        """What its message says, if that is known already."""
        self.span: CallSpan | None = None
        self._admission = admission
        self._wake: Callable[[], None] | None = None

    @property
    def caller(self) -> str:
        """The connection it came by."""
        return str(self.context.peer())

    def hold(self, size: int, work: float) -> None:
        """Count a message of `size` bytes and `work` seconds as in flight; OverloadedError if that is too much now."""
        self.held = self._admission.take(self.caller, size=size, work=work)

    def set_work(self, seconds: float) -> None:
        """It is known now how long it will compute."""
        if self.held:
            self._admission.set_work(self.held, seconds)

    def add_bytes(self, size: int) -> None:
        """Messages of so many bytes have come, or with a negative number are worked off."""
        if self.held:
            self._admission.add_bytes(self.held, size)

    @property
    def facts(self) -> dict[str, Any]:
        """What is told of it once it has ended."""
        return {"documents": self.documents, "tokens": self.tokens, "request_id": self.request_id}

    @property
    def trace(self) -> dict[str, str]:
        """What a line in the log tells of the call's trace, if it has one."""
        return self.span.names if self.span else {}

    def stopped(self) -> bool:
        """Whether nobody waits any more: the caller is gone, or its deadline has passed."""
        return not self.context.is_active()

    def at_end(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called when nobody waits any more, in place of what was to be called before; False if that is so
        already."""
        first, self._wake = self._wake is None, wake
        # gRPC keeps what it is to call until the call ends, and a stream may wait for many turns.
        return self.context.add_callback(self._wake_up) if first else not self.stopped()

    def _wake_up(self) -> None:
        if self._wake:
            self._wake()
