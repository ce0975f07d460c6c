"""Calls that wait to be answered, or refused, by the thread of the fast path."""

import time
from collections import deque
from math import inf
from typing import Generic, TypeVar

# Calls that are taken at most, and calls of one connection among them while others wait.
_BATCH_CALLS, _QUANTUM_CALLS = 16, 8

# Refusals are sent at this rate, or faster if one would wait for longer than this.
_REFUSALS_PER_SECOND, _MAX_REFUSAL_SECONDS = 1000, 1.0

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Calls, served in turn from each connection, however many calls others have here.

    As in FQ-CoDel (RFC 8290), a connection that had no call here goes first. The others follow by rotation, several
    calls at a time: responses to one connection leave in one packet.
    """

    def __init__(self) -> None:
        # By connection; the first is served next.
        self._new: dict[str, deque[T]] = {}
        self._old: dict[str, deque[T]] = {}
        self.size = 0
        """How many calls wait."""

    def add(self, peer: str, call: T) -> None:
        """Append a call of the connection `peer`."""
        waiting = self._old.get(peer) or self._new.get(peer)
        if waiting:
            waiting.append(call)
        else:
            self._new[peer] = deque((call,))
        self.size += 1

    def take(self) -> list[T]:
        """Remove and return the next calls."""
        taken: list[T] = []
        # New connections without end must not starve the old ones.
        limit = _BATCH_CALLS - _QUANTUM_CALLS if self._old else _BATCH_CALLS
        while self._new and len(taken) < limit:
            self._serve(self._new, 1, taken)
        while self._old and len(taken) < _BATCH_CALLS:
            self._serve(self._old, min(_QUANTUM_CALLS, _BATCH_CALLS - len(taken)), taken)
        self.size -= len(taken)
        return taken

    def _serve(self, peers: dict[str, deque[T]], limit: int, taken: list[T]) -> None:
        """Take up to `limit` calls of the first connection, which goes to the end of the old ones."""
        peer = next(iter(peers))
        waiting = peers.pop(peer)
        for _ in range(min(limit, len(waiting))):
            taken.append(waiting.popleft())
        if waiting:
            self._old[peer] = waiting


class RefusalQueue(FairQueue[T]):
    """Refused calls, served at a limited rate.

    Many callers try again at once. If refusals left at once too, the server would do little else, and gRPC's queue
    would be full of these calls' events, before all others.
    """

    def __init__(self) -> None:
        super().__init__()
        self._due = 0.0

    @property
    def seconds_until_due(self) -> float:
        """Until the next calls may be taken; infinite if none waits."""
        return max(0.0, self._due - time.monotonic()) if self.size else inf

    def take(self) -> list[T]:
        """Remove and return the next calls, none before they are due."""
        if self.seconds_until_due:
            return []
        rate = max(_REFUSALS_PER_SECOND, self.size / _MAX_REFUSAL_SECONDS)
        taken = super().take()
        self._due = time.monotonic() + len(taken) / rate
        return taken
