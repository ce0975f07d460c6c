"""How signals end a command: SIGTERM and SIGHUP raise Terminated, so that unfinished output is removed.

The first SIGINT asks training to stop and keep its result; without training, and the second, raise KeyboardInterrupt.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived. As with KeyboardInterrupt, no `except Exception` catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def terminating() -> Iterator[None]:
    """Within the block, SIGTERM and SIGHUP raise Terminated where they would end the process; as `Interrupt`, in the
    main thread only.
    """
    numbers = {signal.SIGTERM, signal.SIGHUP} if threading.current_thread() is threading.main_thread() else set()
    # One that is ignored, as SIGHUP is under nohup, stays so.
    numbers = {number for number in numbers if signal.getsignal(number) is signal.SIG_DFL}
    for number in numbers:
        signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)


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
