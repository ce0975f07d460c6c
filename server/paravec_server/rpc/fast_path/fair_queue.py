"""Short calls that wait to be answered in batches."""

from collections import deque
from collections.abc import Hashable
from typing import NamedTuple

from ..call import Call, RpcMethod

# Calls in a batch at most, and calls of one connection in it while others wait.
_BATCH_CALLS, _QUANTUM_CALLS = 16, 8


class ShortCall(NamedTuple):
    """A call that may be answered in a batch."""

    method: RpcMethod
    batch_key: Hashable
    call: Call
    request: bytes


class FairQueue:
    """Short calls, served in turn from each connection, however many calls others have here.

    As in FQ-CoDel (RFC 8290), a connection that had no call here goes first. The others follow by rotation, several
    calls at a time: responses to one connection leave in one packet.
    """

    def __init__(self) -> None:
        # By connection; the first is served next.
        self._new: dict[str, deque[ShortCall]] = {}
        self._old: dict[str, deque[ShortCall]] = {}
        self.size = 0
        """How many calls wait."""

    def add(self, call: ShortCall) -> None:
        """Append a call."""
        peer = call.call.context.peer()
        waiting = self._old.get(peer) or self._new.get(peer)
        if waiting:
            waiting.append(call)
        else:
            self._new[peer] = deque((call,))
        self.size += 1

    def take(self) -> list[ShortCall]:
        """Remove and return the next batch."""
        taken: list[ShortCall] = []
        # New connections without end must not starve the old ones.
        limit = _BATCH_CALLS - _QUANTUM_CALLS if self._old else _BATCH_CALLS
        while self._new and len(taken) < limit:
            self._serve(self._new, 1, taken)
        while self._old and len(taken) < _BATCH_CALLS:
            self._serve(self._old, min(_QUANTUM_CALLS, _BATCH_CALLS - len(taken)), taken)
        self.size -= len(taken)
        return taken

    def _serve(self, peers: dict[str, deque[ShortCall]], limit: int, taken: list[ShortCall]) -> None:
        """Take up to `limit` calls of the first connection, which goes to the end of the old ones."""
        peer = next(iter(peers))
        waiting = peers.pop(peer)
        for _ in range(min(limit, len(waiting))):
            taken.append(waiting.popleft())
        if waiting:
            self._old[peer] = waiting
