"""First SIGINT asks training to stop and keep its result; the second raises KeyboardInterrupt."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """A context manager; calling it returns whether SIGINT arrived within the block.

    Outside the main thread, where Python allows no signal handlers, it has no effect.
    """

    def __init__(self) -> None:
        self._received = False
        self._previous_handler: Any = None

    def __call__(self) -> bool:
        """Whether SIGINT arrived."""
        return self._received

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            self._previous_handler = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous_handler is not None:
            signal.signal(signal.SIGINT, self._previous_handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._received:
            raise KeyboardInterrupt
        self._received = True
