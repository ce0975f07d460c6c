"""Forks of a process with clients: their channels are closed before it, and made anew on both sides at the next call.

gRPC runs threads of its own while it has a channel, and none of them is in a fork: calls there would wait for them for
ever. Without a channel it ends its threads, and the fork begins afresh. gRPC's own support of forks
(GRPC_ENABLE_FORK_SUPPORT) is not turned on: with a call in progress in another thread the fork hangs at once,
whether it uses gRPC or not (seen with 1.85).

What else keeps gRPC's threads: a call that goes on, a channel that is not the client's own, a server, grpc.aio. Then
the fork has no use of gRPC, and clients there raise ForkedError.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from threading import Condition
from typing import Protocol
from weakref import WeakSet

_TASKS = Path("/proc/self/task")

# Beginnings of the names of gRPC's threads.
_THREADS = ("event_engine", "grpc", "lifeguard", "resolver", "default-exec")

# Seconds that a fork waits for calls in progress, and for the end of gRPC's threads, which takes some milliseconds.
_PATIENCE = 2.0
_LOOK = 0.001


class Suspended(Protocol):
    """What has channels, and can do without until the next call."""

    def suspend(self) -> None:
        """Close the channels."""


class Forks:
    """The calls in progress in this process, and what becomes of its clients when it forks."""

    def __init__(self) -> None:
        self._clients: WeakSet[Suspended] = WeakSet()
        self._begin_anew()
        self.usable = True
        """Whether gRPC can be used in this process; False in a fork of one that used it meanwhile."""
        self._patient = True
        self._clean = False

    def _begin_anew(self) -> None:
        self._changed = Condition()
        self._calls = 0
        self._forking = False

    def add(self, client: Suspended) -> None:
        """Suspend it before each fork."""
        self._clients.add(client)

    def enter(self) -> None:
        """A call begins; not while the process forks."""
        with self._changed:
            while self._forking:
                self._changed.wait()
            self._calls += 1

    def leave(self) -> None:
        """A call has ended."""
        with self._changed:
            self._calls -= 1
            if self._forking:
                self._changed.notify_all()

    def before(self) -> None:
        """Bring gRPC to rest, if that can be."""
        if not _grpc_runs():
            self._clean = True
            return
        with self._changed:
            self._forking = True
            # Where gRPC did not come to rest before, something else uses it, and it will not now.
            idle = self._patient and self._changed.wait_for(lambda: not self._calls, _PATIENCE)
        if idle:
            for client in list(self._clients):
                client.suspend()
            end = time.monotonic() + _PATIENCE
            while _grpc_runs() and time.monotonic() < end:
                time.sleep(_LOOK)
            self._patient = not _grpc_runs()
        self._clean = not _grpc_runs()

    def after_in_parent(self) -> None:
        """Let calls begin again."""
        with self._changed:
            self._forking = self._clean = False
            self._changed.notify_all()

    def after_in_child(self) -> None:
        """The only thread is this one, whatever locks others held."""
        self._begin_anew()
        # A process that forks otherwise than by Python has not called `before`.
        self.usable = self.usable and (self._clean or outlives_forks())
        self._clean = False


def outlives_forks() -> bool:
    """Whether gRPC was told to begin anew in forks by itself."""
    return os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in ("1", "yes", "true", "t", "y")


def _grpc_runs() -> bool:
    """Whether threads of gRPC run; where that cannot be told, they may."""
    if not _TASKS.exists():
        return True
    for task in _TASKS.iterdir():
        with suppress(OSError):  # it has ended
            if (task / "comm").read_text().startswith(_THREADS):
                return True
    return False


FORKS = Forks()
os.register_at_fork(before=FORKS.before, after_in_parent=FORKS.after_in_parent, after_in_child=FORKS.after_in_child)
