"""How much work the server accepts, and how the limits are shared among connections.

Short calls are not limited by what is in flight: a response costs no more than a refusal. All other calls are limited
by their number, by that of streams among them, by the bytes of their requests, and by the seconds that they are
estimated to compute. While several connections have calls in flight, each may use an equal share of every limit, even
if others fill the rest.
"""

import random
import threading
from typing import Literal

from ..settings import Settings
from ..telemetry.counters import BYTES, CALLS, DRAINING, SERVING, STATE, STREAMS, WORK, WorkerCounters
from .errors import NotReadyError, OverloadedError

# When a refused caller should retry: spread out, so that not all come back at the same moment.
_RETRY_MILLISECONDS = range(50, 150)

# Calls of all kinds in memory. Each takes about 10 kB, most of it in gRPC's core.
_MAX_OPEN_CALLS = 20_000

# Calls of one connection that are accepted however long they compute.
_FREE_CALLS = 4

Resource = Literal["calls", "streams", "bytes", "work", "waited"]

_LIMITED: tuple[tuple[Resource, int], ...] = (
    ("calls", CALLS), ("streams", STREAMS), ("bytes", BYTES), ("work", WORK),
)  # fmt: skip


class Connection:
    """What the calls of one connection hold, by counter."""

    __slots__ = ("held", "peer")

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.held = dict.fromkeys((CALLS, STREAMS, BYTES, WORK), 0)


class Reservation:
    """What one call holds, by counter. Only `Admission` changes it."""

    __slots__ = ("amounts", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.amounts = dict.fromkeys((CALLS, STREAMS, BYTES, WORK), 0)


class Admission:
    """Counts what is in flight, and refuses what is beyond the limits."""

    def __init__(self, settings: Settings, counters: WorkerCounters) -> None:
        self._counters, self._cells, self._lock = counters, counters.cells, counters.lock
        self._idle = threading.Condition(counters.lock)
        self._limits = {
            CALLS: settings.max_concurrent_rpcs,
            STREAMS: settings.max_streams_in_flight,
            BYTES: settings.max_bytes_in_flight,
            WORK: _microseconds(settings.max_work_in_flight),
        }
        self._connections: dict[str, Connection] = {}
        # Calls that have begun and not ended, and responses that gRPC has yet to send.
        self._open = self._unsent = 0

    def open(self) -> None:
        """Accept calls from now on."""
        self._counters["state"] = SERVING

    def close(self) -> None:
        """Refuse calls from now on."""
        with self._lock:
            self._counters["state"] = DRAINING

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until no call is in flight and all responses are sent; False if it takes longer."""
        with self._idle:
            return self._idle.wait_for(lambda: self.is_idle, seconds)

    @property
    def is_idle(self) -> bool:
        """Whether no call is in flight at the moment."""
        return not self._open and not self._unsent

    @property
    def is_ready(self) -> bool:
        """Whether calls are accepted."""
        return self._counters["state"] == SERVING

    def check_ready(self) -> None:
        """NotReadyError unless calls are accepted."""
        with self._lock:
            self._check_ready()

    def enter(self) -> None:
        """Accept a call, which must `leave` later; NotReadyError or OverloadedError if it is refused."""
        with self._lock:
            if self._cells[STATE] != SERVING:
                self._check_ready()
            if self._open >= _MAX_OPEN_CALLS:
                raise self._overloaded("calls")
            self._open += 1

    def reserve(self, peer: str, *, size: int, work: float, is_stream: bool = False) -> Reservation:
        """Count a call with a request of `size` bytes and about `work` seconds to compute.

        OverloadedError, and nothing is counted, if that is more than this connection may have in flight.
        """
        with self._lock:
            connection = self._connections.get(peer) or Connection(peer)
            connections = len(self._connections) + (peer not in self._connections)
            wanted = {CALLS: 1, BYTES: size, WORK: _microseconds(work)}
            if is_stream:
                wanted[STREAMS] = 1
            for resource, cell in _LIMITED:
                if cell in wanted and not self._fits(cell, wanted[cell], connection.held, connections):
                    raise self._overloaded(resource)
            self._connections[peer] = connection
            reservation = Reservation(connection)
            for cell, amount in wanted.items():
                self._add(reservation, cell, amount)
            return reservation

    def _fits(self, cell: int, amount: int, held: dict[int, int], connections: int) -> bool:
        total, own, limit = self._cells[cell], held[cell], self._limits[cell]
        if total + amount <= limit:
            return True
        if cell == WORK:
            # Compute slots are shared fairly: a few long calls delay only their own connection.
            return held[CALLS] < _FREE_CALLS or own + amount <= limit / connections
        # Memory and threads are finite, so shares end at twice the limit.
        return total < 2 * limit and (own == 0 or own + amount <= limit / connections)

    def set_work(self, reservation: Reservation, work: float) -> None:
        """Replace the estimate of a call's seconds."""
        with self._lock:
            self._add(reservation, WORK, _microseconds(work) - reservation.amounts[WORK])

    def add_bytes(self, reservation: Reservation, size: int) -> None:
        """Count bytes of a stream's requests; a negative size takes them off."""
        with self._lock:
            self._add(reservation, BYTES, size)

    def leave(self, reservation: Reservation | None, response_size: int) -> None:
        """A call has ended. The bytes of its response count until it is `sent`."""
        with self._lock:
            self._open -= 1
            self._unsent += 1
            if reservation:
                for cell in (CALLS, STREAMS, WORK):
                    self._add(reservation, cell, -reservation.amounts[cell])
                self._add(reservation, BYTES, response_size - reservation.amounts[BYTES])

    def sent(self, reservation: Reservation | None) -> None:
        """The response of an ended call is sent, or never will be."""
        with self._lock:
            self._unsent -= 1
            if reservation:
                self._add(reservation, BYTES, -reservation.amounts[BYTES])
                if not any(reservation.connection.held.values()):
                    self._connections.pop(reservation.connection.peer, None)
            if not self._open and not self._unsent:
                self._idle.notify_all()

    def waited_too_long(self) -> OverloadedError:
        """The error for a call that has waited too long; it is counted as refused."""
        with self._lock:
            return self._overloaded("waited")

    def _add(self, reservation: Reservation, cell: int, amount: int) -> None:
        reservation.amounts[cell] += amount
        reservation.connection.held[cell] += amount
        self._cells[cell] += amount

    def _check_ready(self) -> None:
        state = self._cells[STATE]
        if state == DRAINING:
            self._counters["draining"] += 1
            raise NotReadyError("the server is stopping")
        if state != SERVING:
            self._counters["loading"] += 1
            raise NotReadyError("the model is loading")

    def _overloaded(self, resource: Resource) -> OverloadedError:
        self._counters[f"refused_{resource}"] += 1
        return OverloadedError(resource, random.choice(_RETRY_MILLISECONDS))  # noqa: S311


def _microseconds(seconds: float) -> int:
    """Whole numbers, so that sums return to exactly 0."""
    return round(1e6 * seconds)
