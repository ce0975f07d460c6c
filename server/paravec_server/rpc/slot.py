"""A call's compute slot, and how a call waits for one: with a thread or without."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

from .start_time_queue import Connection

OnCancel = Callable[[Callable[[], None]], bool]
"""Registers a callback for a call's cancellation; returns False if the call is already cancelled."""


class Slot:
    """A call's permission to compute. The work calls `yield_if_due` every 10 to 30 ms."""

    def __init__(
        self,
        connection: "Connection[Waiter]",
        on_cancel: OnCancel,
        yield_if_due: "Callable[[Slot], None]",
        *,
        submitted: bool,
    ) -> None:
        self.connection, self.on_cancel, self._yield_if_due = connection, on_cancel, yield_if_due
        self.begun = self.charged_until = 0.0
        """When the call got it, and until when the connection's clock counts it."""
        self.held = False
        self.submitted = submitted
        """Whether the call has a thread only since it got the slot."""

    def yield_if_due(self) -> None:
        """Let other connections compute if it is their turn; StoppedError if this call is cancelled meanwhile."""
        self._yield_if_due(self)


class Waiter(ABC):
    """A call that waits for a slot."""

    outcome: Literal["slot", "stopped"] | None = None
    connection: "Connection[Waiter] | None" = None
    """Where it waits."""

    @abstractmethod
    def start(self) -> "SubmittedWaiter | None":
        """The call has a slot now. Returns it if it has no thread yet."""

    @abstractmethod
    def stop(self, error: Exception) -> None:
        """The call will have no slot, because of `error`."""


class BlockedWaiter(Waiter):
    """A call whose thread waits."""

    def __init__(self) -> None:
        self.gate = threading.Lock()
        """Locked until the wait ends."""
        self.gate.acquire()

    def start(self) -> None:
        self.gate.release()

    def stop(self, error: Exception) -> None:  # noqa: ARG002 - its thread raises an error of its own
        self.gate.release()


class SubmittedWaiter(Waiter):
    """A call without a thread."""

    slot: Slot
    """Set when it is queued."""

    def __init__(self, run: Callable[[Slot], None], refuse: Callable[[Exception], None]) -> None:
        self._run, self._refuse = run, refuse
        self.since = time.monotonic()

    def start(self) -> "SubmittedWaiter":
        return self

    def run(self) -> Slot:
        """Run the call, and return the slot that it held."""
        slot, run = self.slot, self._run
        self._release()
        run(slot)
        return slot

    def stop(self, error: Exception) -> None:
        refuse = self._refuse
        self._release()
        refuse(error)

    def _release(self) -> None:
        """The call refers to this object until it ends. Without references back, it is freed at once."""
        self.__dict__.pop("slot", None)
        del self._run, self._refuse
