"""Lets clients survive a fork: their channels are closed before it and opened again at the next call, on both sides.

gRPC runs threads as long as it has a channel. A fork has none of these threads, so calls in it would hang. Without
channels gRPC stops its threads, and both processes start afresh. gRPC's own fork support (GRPC_ENABLE_FORK_SUPPORT) is
left off: with a call in progress on another thread the fork hangs, even if the child never uses gRPC (seen with 1.85).

Other things keep gRPC's threads running: a long call, a channel of the caller's own, a server, grpc.aio. Then gRPC is
unusable in the child, and clients there raise ForkedError.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from threading import Condition
from typing import Protocol
from weakref import WeakSet

_THREADS_DIRECTORY = Path("/proc/self/task")

# Prefixes of the names of gRPC's threads.
_GRPC_THREAD_PREFIXES = ("event_engine", "grpc", "lifeguard", "resolver", "default-exec")

# How long a fork waits for calls in progress, and then for gRPC's threads to end, which takes a few milliseconds.
_WAIT_SECONDS = 2.0
_POLL_SECONDS = 0.001


class Suspendable(Protocol):
    """A connection that can close its channels and open them again at the next call."""

    def suspend(self) -> None:
        """Close the channels."""


class ForkRegistry:
    """Counts the calls in progress in this process, and suspends its connections when it forks."""

    def __init__(self) -> None:
        self._connections: WeakSet[Suspendable] = WeakSet()
        self._reset()
        self.usable = True
        """Whether gRPC works in this process; False in a child whose parent used gRPC at the fork."""
        self._waits = True
        self._grpc_stopped = False

    def _reset(self) -> None:
        self._changed = Condition()
        self._calls = 0
        self._forking = False

    def add(self, connection: Suspendable) -> None:
        """Suspend this connection before each fork."""
        self._connections.add(connection)

    def begin_call(self) -> None:
        """Count a call; waits while the process forks."""
        with self._changed:
            while self._forking:
                self._changed.wait()
            self._calls += 1

    def end_call(self) -> None:
        """A call has ended."""
        with self._changed:
            self._calls -= 1
            if self._forking:
                self._changed.notify_all()

    def before_fork(self) -> None:
        """Stop gRPC's threads, if nothing else keeps them running."""
        if not _grpc_runs():
            self._grpc_stopped = True
            return
        with self._changed:
            self._forking = True
            # If gRPC kept running at an earlier fork, something else uses it, and waiting again is useless.
            idle = self._waits and self._changed.wait_for(lambda: not self._calls, _WAIT_SECONDS)
        if idle:
            for connection in list(self._connections):
                connection.suspend()
            end = time.monotonic() + _WAIT_SECONDS
            while _grpc_runs() and time.monotonic() < end:
                time.sleep(_POLL_SECONDS)
            self._waits = not _grpc_runs()
        self._grpc_stopped = not _grpc_runs()

    def after_in_parent(self) -> None:
        """Let calls begin again."""
        with self._changed:
            self._forking = self._grpc_stopped = False
            self._changed.notify_all()

    def after_in_child(self) -> None:
        """Replace the locks, which threads of the parent may have held, and note whether gRPC works here."""
        self._reset()
        # Without `before_fork`, e.g. after a fork by C code, gRPC counts as running.
        self.usable = self.usable and (self._grpc_stopped or grpc_supports_forks())
        self._grpc_stopped = False


def grpc_supports_forks() -> bool:
    """Whether gRPC's own fork support is on."""
    return os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in ("1", "yes", "true", "t", "y")


def _grpc_runs() -> bool:
    """Whether threads of gRPC run; True if the system does not list threads."""
    if not _THREADS_DIRECTORY.exists():
        return True
    for thread in _THREADS_DIRECTORY.iterdir():
        with suppress(OSError):  # the thread has ended
            if (thread / "comm").read_text().startswith(_GRPC_THREAD_PREFIXES):
                return True
    return False


fork_registry = ForkRegistry()
os.register_at_fork(
    before=fork_registry.before_fork,
    after_in_parent=fork_registry.after_in_parent,
    after_in_child=fork_registry.after_in_child,
)
