"""Slots to compute in: as many as there are cores, shared out fairly among callers.

Start-time fair queueing (Goyal, Vin, Cheng 1996) over connections: each caller has a clock that advances by the seconds
that its calls compute, and a free slot goes to the waiting caller whose clock is furthest behind. A caller that comes
starts at the clock of the slowest one that is there, so it neither waits for what others did before nor has saved up
for what it did not do.
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

# Seconds that a call keeps its slot at least, unless it ends: to change over takes two threads tenths of a millisecond.
_QUANTUM = 0.01

AtEnd = Callable[[Callable[[], None]], bool]
"""Has a function called once nobody waits for a call any more; False if that is so already."""


class _Caller:
    """A caller's calls that hold slots or wait for one."""

    def __init__(self, clock: float) -> None:
        self.clock = clock
        self.holding = 0
        self.waiting: deque[_Waiter] = deque()

    @property
    def active(self) -> bool:
        return bool(self.holding or self.waiting)


class _Waiter:
    def __init__(self, caller: _Caller) -> None:
        self.caller = caller
        self.outcome: Literal["slot", "stopped"] | None = None
        self.gate = threading.Lock()
        self.gate.acquire()


class Slot:
    """What a call computes in. `give_way` is to be called every 10 to 30 ms of work."""

    def __init__(self, slots: "ComputeSlots", account: _Caller, at_end: AtEnd) -> None:
        self._slots = slots
        self.account, self.at_end = account, at_end
        self.begun = self.since = 0.0
        """When the call got it, and when it was last paid for."""
        self.held = False

    def give_way(self) -> None:
        """Let callers that are due compute first; StoppedError if meanwhile nobody waits for this call any more."""
        self._slots.give_way(self)


class ComputeSlots:
    """Calls that compute hold a slot each. The others wait, and leave at once when nobody waits for them."""

    def __init__(self, slots: int, timeout: float = inf) -> None:
        """`timeout`: seconds that a call waits for its first slot."""
        self._free, self._timeout = slots, timeout
        self._callers: dict[Hashable, _Caller] = {}
        self._waiting = 0
        self._moved = time.monotonic()
        self._lock = threading.Lock()

    @property
    def stuck(self) -> float:
        """Seconds since the work in any slot moved on; 0 if a slot is free."""
        return 0.0 if self._free else time.monotonic() - self._moved

    @contextmanager
    def hold(self, caller: Hashable, at_end: AtEnd) -> Iterator[Slot]:
        """Wait for a slot and hold it. StoppedError if nobody waits for the call any more, WaitedTooLongError after
        `timeout`."""
        with self._lock:
            slot = Slot(self, self._account(caller), at_end)
            waiter = self._queue(slot) if not self._free else None
            if not waiter:
                self._free -= 1
                slot.account.holding += 1
        self._begin(slot, waiter, self._timeout)
        try:
            yield slot
        finally:
            with self._lock:
                if slot.held:
                    self._pass_on(slot)

    def give_way(self, slot: Slot) -> None:
        """See Slot."""
        now = self._moved = time.monotonic()
        if not self._waiting or now - slot.begun < _QUANTUM:
            return
        with self._lock:
            self._pay(slot)
            due = self._due()
            if due is None or due.clock >= slot.account.clock:
                return
            waiter = self._queue(slot)
            self._pass_on(slot)
        self._begin(slot, waiter, inf)

    def _begin(self, slot: Slot, waiter: _Waiter | None, timeout: float) -> None:
        if waiter:
            self._wait(waiter, slot.at_end, timeout)
        slot.held = True
        self._moved = slot.begun = slot.since = time.monotonic()

    def _wait(self, waiter: _Waiter, at_end: AtEnd, timeout: float) -> None:
        """Until the waiter has a slot; else it is out of the queue, and an error says why."""
        if not at_end(lambda: self._leave(waiter)):
            self._leave(waiter)
        if not waiter.gate.acquire(timeout=-1 if timeout == inf else timeout):
            self._leave(waiter)
            waiter.gate.acquire()
            if waiter.outcome == "stopped":
                raise WaitedTooLongError
        elif waiter.outcome == "stopped":
            raise StoppedError("nobody waits for this call any more")

    def _account(self, caller: Hashable) -> _Caller:
        clocks = [one.clock for one in self._callers.values() if one.active]
        slowest = min(clocks) if clocks else max((one.clock for one in self._callers.values()), default=0.0)
        # What callers who left had used up counts until the others have caught up.
        self._callers = {name: one for name, one in self._callers.items() if one.active or one.clock > slowest}
        return self._callers.setdefault(caller, _Caller(slowest))

    def _queue(self, slot: Slot) -> _Waiter:
        waiter = _Waiter(slot.account)
        slot.account.waiting.append(waiter)
        self._waiting += 1
        return waiter

    def _due(self) -> _Caller | None:
        """The caller whose call is next."""
        return min((one for one in self._callers.values() if one.waiting), key=lambda one: one.clock, default=None)

    def _pay(self, slot: Slot) -> None:
        now = time.monotonic()
        slot.account.clock += now - slot.since
        slot.since = now

    def _pass_on(self, slot: Slot) -> None:
        """The slot goes to who is due."""
        self._pay(slot)
        slot.held = False
        slot.account.holding -= 1
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
                waiter.caller.waiting.remove(waiter)
                self._waiting -= 1
                waiter.outcome = "stopped"
                waiter.gate.release()
