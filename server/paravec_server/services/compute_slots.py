"""Slots to compute in, as many as there are cores, shared fairly among connections.

Start-time fair queueing (Goyal, Vin, Cheng 1996): each connection has a virtual clock that advances by the seconds that
its calls compute, and a free slot goes to the waiting connection whose clock is furthest behind. A new connection
starts at the slowest clock: it does not pay for the past of others, and has saved up nothing.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Literal

from paravec_model.errors import StoppedError

from ..rpc.errors import WaitedTooLongError

# A call keeps its slot at least so long: a switch between threads takes tenths of a millisecond.
_QUANTUM_SECONDS = 0.01

OnCancel = Callable[[Callable[[], None]], bool]
"""Registers a callback for a call's cancellation; returns False if the call is already cancelled."""


class _Connection:
    """A connection's calls that hold slots or wait for one."""

    def __init__(self, clock: float) -> None:
        self.clock = clock
        self.holding = 0
        self.waiting: deque[_Waiter] = deque()

    @property
    def active(self) -> bool:
        return bool(self.holding or self.waiting)


class _Waiter:
    def __init__(self, connection: _Connection) -> None:
        self.connection = connection
        self.outcome: Literal["slot", "stopped"] | None = None
        self.gate = threading.Lock()
        self.gate.acquire()


class Slot:
    """A call's permission to compute. The work calls `yield_if_due` every 10 to 30 ms."""

    def __init__(self, slots: "ComputeSlots", connection: _Connection, on_cancel: OnCancel) -> None:
        self._slots = slots
        self.connection, self.on_cancel = connection, on_cancel
        self.begun = self.charged_until = 0.0
        """When the call got it, and until when the connection's clock counts it."""
        self.held = False

    def yield_if_due(self) -> None:
        """Let other connections compute if it is their turn; StoppedError if this call is cancelled meanwhile."""
        self._slots.yield_if_due(self)


class ComputeSlots:
    """Each call that computes holds a slot. The others wait, and leave at once when they are cancelled."""

    def __init__(self, slots: int, timeout: float = inf) -> None:
        """`timeout`: seconds that a call may wait for its first slot."""
        self._free, self._timeout = slots, timeout
        self._connections: dict[Hashable, _Connection] = {}
        self._waiting = 0
        self._last_progress = time.monotonic()
        self._lock = threading.Lock()

    @property
    def stuck_seconds(self) -> float:
        """Seconds since the work in any slot made progress; 0 if a slot is free."""
        return 0.0 if self._free else time.monotonic() - self._last_progress

    @contextmanager
    def hold(self, peer: Hashable, on_cancel: OnCancel) -> Iterator[Slot]:
        """Wait for a slot and hold it. StoppedError if the call is cancelled, WaitedTooLongError after `timeout`."""
        with self._lock:
            slot = Slot(self, self._connection_of(peer), on_cancel)
            waiter = self._queue(slot) if not self._free else None
            if not waiter:
                self._free -= 1
                slot.connection.holding += 1
        self._begin(slot, waiter, self._timeout)
        try:
            yield slot
        finally:
            with self._lock:
                if slot.held:
                    self._pass_on(slot)

    def yield_if_due(self, slot: Slot) -> None:
        """See `Slot.yield_if_due`."""
        now = self._last_progress = time.monotonic()
        if not self._waiting or now - slot.begun < _QUANTUM_SECONDS:
            return
        with self._lock:
            self._charge(slot)
            due = self._due()
            if due is None or due.clock >= slot.connection.clock:
                return
            waiter = self._queue(slot)
            self._pass_on(slot)
        self._begin(slot, waiter, inf)

    def _begin(self, slot: Slot, waiter: _Waiter | None, timeout: float) -> None:
        if waiter:
            self._wait(waiter, slot.on_cancel, timeout)
        slot.held = True
        self._last_progress = slot.begun = slot.charged_until = time.monotonic()

    def _wait(self, waiter: _Waiter, on_cancel: OnCancel, timeout: float) -> None:
        """Wait until the waiter has a slot; else remove it from the queue and raise."""
        if not on_cancel(lambda: self._leave(waiter)):
            self._leave(waiter)
        if not waiter.gate.acquire(timeout=-1 if timeout == inf else timeout):
            self._leave(waiter)
            waiter.gate.acquire()
            if waiter.outcome == "stopped":
                raise WaitedTooLongError
        elif waiter.outcome == "stopped":
            raise StoppedError("the call was cancelled while it waited for a slot")

    def _connection_of(self, peer: Hashable) -> _Connection:
        clocks = [one.clock for one in self._connections.values() if one.active]
        slowest = min(clocks) if clocks else max((one.clock for one in self._connections.values()), default=0.0)
        # A connection that left is remembered until the others have caught up with its clock.
        self._connections = {name: one for name, one in self._connections.items() if one.active or one.clock > slowest}
        return self._connections.setdefault(peer, _Connection(slowest))

    def _queue(self, slot: Slot) -> _Waiter:
        waiter = _Waiter(slot.connection)
        slot.connection.waiting.append(waiter)
        self._waiting += 1
        return waiter

    def _due(self) -> _Connection | None:
        """The connection whose call is next."""
        return min((one for one in self._connections.values() if one.waiting), key=lambda one: one.clock, default=None)

    def _charge(self, slot: Slot) -> None:
        now = time.monotonic()
        slot.connection.clock += now - slot.charged_until
        slot.charged_until = now

    def _pass_on(self, slot: Slot) -> None:
        """Give the slot to the connection whose turn it is."""
        self._charge(slot)
        slot.held = False
        slot.connection.holding -= 1
        due = self._due()
        if due is None:
            self._free += 1
            return
        waiter = due.waiting.popleft()
        self._waiting -= 1
        due.holding += 1
        waiter.outcome = "slot"
        waiter.gate.release()

    def _leave(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter.outcome is None:
                waiter.connection.waiting.remove(waiter)
                self._waiting -= 1
                waiter.outcome = "stopped"
                waiter.gate.release()
