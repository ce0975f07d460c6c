"""Slots to compute in, as many as there are cores, shared fairly among connections.

A submitted call waits without a thread, and the thread whose call ends goes on with the next one.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import inf
from typing import TypeVar

from paravec_model.errors import StoppedError

from .errors import WaitedTooLongError
from .slot import BlockedWaiter, OnCancel, Slot, SubmittedWaiter, Waiter
from .start_time_queue import Connection, StartTimeQueue

# A call keeps its slot at least so long: a switch between threads takes tenths of a millisecond.
_QUANTUM_SECONDS = 0.01

# Calls that have left are kept behind one that waits, until they are more than those that wait and so many.
_LEFT = 64

W = TypeVar("W", bound=Waiter)

MAX_PREEMPTED = 256
"""How many submitted calls may be preempted at once. Each has a thread, so none is preempted beyond them."""


def max_threads(slots: int) -> int:
    """How many threads submitted calls have at most: those that compute, and those that are preempted."""
    return slots + MAX_PREEMPTED


class ComputeSlots:
    """Each call that computes holds a slot. The others wait, and leave at once when they are cancelled."""

    def __init__(self, slots: int, executor: ThreadPoolExecutor, timeout: float = inf) -> None:
        """`executor`: runs submitted calls, with `max_threads` for them alone. `timeout`: seconds that a call may wait
        for its first slot."""
        self._free, self._timeout, self.executor = slots, timeout, executor
        self._queue = StartTimeQueue[Waiter]()
        # Submitted calls, the one that waits longest first; some of them have left already.
        self._submitted: deque[SubmittedWaiter] = deque()
        self._preempted = 0
        self._last_progress = time.monotonic()
        self._lock = threading.Lock()

    @property
    def stuck_seconds(self) -> float:
        """Seconds since the work in any slot made progress; 0 if a slot is free."""
        return 0.0 if self._free else time.monotonic() - self._last_progress

    def submit(
        self,
        peer: Hashable,
        on_cancel: OnCancel,
        run: Callable[[Slot], None],
        refuse: Callable[[Exception], None],
    ) -> None:
        """Call `run` with a slot, on a thread of the executor. Call `refuse` instead with StoppedError if the call is
        cancelled before, with WaitedTooLongError after `timeout`. Neither may raise."""
        waiter = SubmittedWaiter(run, refuse)
        if not on_cancel(lambda: self._leave(waiter)):
            self._leave(waiter)
        with self._lock:
            if waiter.outcome:
                return
            waiter.slot = slot = Slot(self._queue.connection(peer), on_cancel, self._yield_if_due, submitted=True)
            if self._take_free(slot):
                waiter.outcome = "slot"
            else:
                self._append(slot.connection, waiter)
                self._submitted.append(waiter)
                if len(self._submitted) > 2 * self._queue.size + _LEFT:
                    self._submitted = deque(one for one in self._submitted if not one.outcome)
        if not waiter.connection:
            self._start(waiter)

    @contextmanager
    def hold(self, peer: Hashable, on_cancel: OnCancel) -> Iterator[Slot]:
        """Hold a slot, for which this thread waits. StoppedError if the call is cancelled, WaitedTooLongError after
        `timeout`."""
        with self._lock:
            slot = Slot(self._queue.connection(peer), on_cancel, self._yield_if_due, submitted=False)
            waiter = None if self._take_free(slot) else self._append(slot.connection, BlockedWaiter())
        if waiter:
            self._wait(waiter, on_cancel, self._timeout)
        self._begin(slot)
        try:
            yield slot
        finally:
            with self._lock:
                successor = self._pass_on(slot) if slot.held else None
            self._start(successor)

    def _yield_if_due(self, slot: Slot) -> None:
        now = self._last_progress = time.monotonic()
        if not self._queue.size:
            # No other connection wanted this time, so none is owed it.
            slot.charged_until = now
            return
        if now - slot.begun < _QUANTUM_SECONDS:
            return
        waiter = successor = None
        with self._lock:
            expired = self._take_expired()
            self._charge(slot)
            if not self._queue.has_earlier(slot.connection):
                self._queue.keep(slot.connection)
            elif not slot.submitted or self._preempted < MAX_PREEMPTED:
                # When many are preempted, connections go on with those calls before they start others.
                crowded = self._preempted >= MAX_PREEMPTED // 2
                self._preempted += slot.submitted
                waiter = self._append(slot.connection, BlockedWaiter(), first=crowded)
                successor = self._pass_on(slot)
        _refuse(expired)
        self._start(successor)
        if waiter:
            try:
                self._wait(waiter, slot.on_cancel, inf)
            finally:
                with self._lock:
                    self._preempted -= slot.submitted
            self._begin(slot)

    def _work(self, waiter: SubmittedWaiter | None) -> None:
        """Run a submitted call, and the next ones for as long as they have no threads."""
        while waiter:
            self._begin(waiter.slot)
            slot = waiter.run()
            with self._lock:
                expired = self._take_expired()
                waiter = self._pass_on(slot) if slot.held else None
            _refuse(expired)

    def _start(self, waiter: SubmittedWaiter | None) -> None:
        if waiter:
            self.executor.submit(self._work, waiter)

    def _take_free(self, slot: Slot) -> bool:
        if not self._free:
            return False
        self._free -= 1
        self._queue.hold(slot.connection)
        return True

    def _append(self, connection: Connection[Waiter], waiter: W, *, first: bool = False) -> W:
        waiter.connection = connection
        self._queue.append(connection, waiter, first=first)
        return waiter

    def _begin(self, slot: Slot) -> None:
        slot.held = True
        self._last_progress = slot.begun = slot.charged_until = time.monotonic()

    def _charge(self, slot: Slot) -> None:
        now = time.monotonic()
        slot.connection.clock += now - slot.charged_until
        slot.charged_until = now

    def _pass_on(self, slot: Slot) -> SubmittedWaiter | None:
        """Give the slot to the connection whose turn it is. Returns the call that has it now, if it has no thread."""
        self._charge(slot)
        slot.held = False
        self._queue.release(slot.connection)
        waiter = self._queue.popleft()
        if waiter is None:
            self._free += 1
            return None
        waiter.outcome = "slot"
        return waiter.start()

    def _wait(self, waiter: BlockedWaiter, on_cancel: OnCancel, timeout: float) -> None:
        """Wait until the waiter has a slot; else remove it from the queue and raise."""
        if not on_cancel(lambda: self._leave(waiter)):
            self._leave(waiter)
        if not waiter.gate.acquire(timeout=-1 if timeout == inf else timeout):
            self._leave(waiter)
            waiter.gate.acquire()
            if waiter.outcome == "stopped":
                raise WaitedTooLongError
        elif waiter.outcome == "stopped":
            raise _cancelled()

    def _leave(self, waiter: Waiter) -> None:
        """The call is cancelled, or its thread waits no longer."""
        with self._lock:
            removed = self._remove(waiter)
        if removed:
            waiter.stop(_cancelled())

    def _remove(self, waiter: Waiter) -> bool:
        """Take a waiter out of the queue; False if it has left already."""
        if waiter.outcome:
            return False
        waiter.outcome = "stopped"
        if waiter.connection:
            self._queue.remove(waiter.connection, waiter)
        return True

    def _take_expired(self) -> list[SubmittedWaiter]:
        """The submitted calls that have waited for too long; they are out of the queue."""
        latest, expired = time.monotonic() - self._timeout, []
        while self._submitted and ((first := self._submitted[0]).outcome or first.since < latest):
            self._submitted.popleft()
            if self._remove(first):
                expired.append(first)
        return expired


def _refuse(waiters: list[SubmittedWaiter]) -> None:
    for waiter in waiters:
        waiter.stop(WaitedTooLongError())


def _cancelled() -> StoppedError:
    return StoppedError("the call was cancelled while it waited for a slot")
