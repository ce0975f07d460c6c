"""What goes between one call and gRPC's core."""

import threading
import time
from collections.abc import Callable
from typing import Any

from ..thread_pool import guarded
from .completion_queue import Answer, Core


class Exchange:
    """To those who run the call it is what grpcio calls its context."""

    def __init__(self, core: Core, begun: Any) -> None:
        """`begun`: what the core said of the call."""
        self._core, self._call = core, begun.call
        # The core tells it as wall-clock time, which may jump while the call waits.
        self._deadline = time.monotonic() + float(begun.call_details.deadline) - time.time()
        self._lock = threading.Lock()
        self._at_end: list[Callable[[], None]] | None = []
        self._watched = self._gone = False

    def peer(self) -> str:
        """The address of the connection."""
        return str(self._call.peer(), "ascii", "replace")

    def is_active(self) -> bool:
        """Whether somebody waits for the answer; known of calls that are watched."""
        return not self._gone

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Have it called once nobody waits any more; False if that is so already."""
        with self._lock:
            if self._at_end is not None:
                self._at_end.append(callback)
            return self._at_end is not None

    def time_remaining(self) -> float:
        """Seconds until the caller's deadline."""
        return max(0.0, self._deadline - time.monotonic())

    def cancel(self) -> None:
        """End it as CANCELLED."""
        self._call.cancel()

    def give_up(self) -> None:
        """End it so, as nothing else will: who called must not wait for ever."""
        self.cancel()
        self._end()

    def receive(self, then: Callable[[bytes | None], None]) -> None:
        """Have `then` called with the message; with None if there is none, or nobody any more who sends it."""
        self._core.receive(self._call, then)

    def watch(self) -> None:
        """Find out when the caller goes."""
        self._watched = True
        self._core.watch(self._call, self._closed)

    def _closed(self, cancelled: bool) -> None:
        if cancelled:
            with self._lock:
                self._gone = True
            self._end()

    def send(self, answer: Answer) -> None:
        """Answer, if anybody waits."""
        with self._lock:
            if not self._gone:
                self._core.send(self._call, answer, self._end, watch=not self._watched)

    def _end(self) -> None:
        with self._lock:
            callbacks, self._at_end = self._at_end or (), None
        for callback in callbacks:
            guarded(callback)
