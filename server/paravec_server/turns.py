"""Turns to compute: as many at once as there are cores, first come first served."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from paravec_model.errors import StoppedError


class _Waiter:
    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()
        self.called = False


class Turns:
    """Calls that compute hold a turn; the others wait in a line, which who is stopped leaves at once."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._moved = time.monotonic()
        self._line: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    def moved(self) -> None:
        """Whoever holds a turn gets on; said every few ten milliseconds of work."""
        self._moved = time.monotonic()

    @property
    def stuck(self) -> float:
        """Seconds since any of the turns got on; 0 if one is free."""
        return 0.0 if self._free else time.monotonic() - self._moved

    @contextmanager
    def turn(self, at_end: Callable[[Callable[[], None]], bool]) -> Iterator[None]:
        """Wait for a turn and hold it. `at_end` has a function called once nobody waits for the call any more, or is
        False if that is so already; StoppedError then."""
        self._wait(at_end)
        self.moved()
        try:
            yield
        finally:
            self._give()

    def _wait(self, at_end: Callable[[Callable[[], None]], bool]) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            waiter = _Waiter()
            self._line.append(waiter)
        if not at_end(lambda: self._leave(waiter)):
            self._leave(waiter)
        waiter.gate.acquire()
        if not waiter.called:
            raise StoppedError("nobody waits for this turn any more")

    def _give(self) -> None:
        with self._lock:
            if self._line:
                waiter = self._line.popleft()
                waiter.called = True
                waiter.gate.release()
            else:
                self._free += 1

    def _leave(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter in self._line:
                self._line.remove(waiter)
                waiter.gate.release()
