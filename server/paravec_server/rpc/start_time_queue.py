"""Start-time fair queueing of what waits for slots (Goyal, Vin and Cheng, 1996).

Each connection has a virtual clock, which advances by the seconds that its calls compute while others wait. The next
slot goes to the waiting connection whose clock is furthest behind. A connection that comes starts where the last slot
went: it does not pay for the past of others, and has saved up nothing.
"""

from collections import deque
from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

# Connections that are remembered at least, although they have no calls.
_REMEMBERED = 64

# How far a connection that goes may be ahead of the others, as far as that counts: about what it computes in one turn.
_MAX_AHEAD_SECONDS = 0.03

W = TypeVar("W")


class Connection(Generic[W]):
    """What one connection holds and waits for. Only `StartTimeQueue` changes it, but for the clock, which whoever
    measures its calls advances."""

    def __init__(self, clock: float) -> None:
        self.clock = clock
        self.holding = 0
        self.waiting: deque[W] = deque()
        self.in_heap = False

    @property
    def active(self) -> bool:
        """Whether it holds a slot or waits for one."""
        return bool(self.holding or self.waiting)


class StartTimeQueue(Generic[W]):
    """Waiters by connection. Not thread-safe."""

    def __init__(self) -> None:
        self.size = 0
        """How many wait."""
        self._connections: dict[Hashable, Connection[W]] = {}
        self._forget_at = _REMEMBERED
        # The clock of the connection that the last slot went to.
        self._virtual_time = 0.0
        # Connections with waiters, each once, by its clock when it was pushed and the number of the push.
        self._heap: list[tuple[float, int, Connection[W]]] = []
        self._pushes = 0

    def connection(self, peer: Hashable) -> Connection[W]:
        """The connection of that name, which may be new."""
        connection = self._connections.get(peer)
        if not connection:
            self._forget()
            connection = self._connections[peer] = Connection(self._virtual_time)
        elif not connection.active:
            connection.clock = max(connection.clock, self._virtual_time)
        return connection

    def hold(self, connection: Connection[W]) -> None:
        """Count a slot that the connection holds."""
        connection.holding += 1
        self.keep(connection)

    def keep(self, connection: Connection[W]) -> None:
        """The connection keeps its slot, since no other one is due: as if the slot went to it again."""
        # The clock may be behind: a call in progress is charged only now and then.
        self._virtual_time = max(self._virtual_time, connection.clock)

    def release(self, connection: Connection[W]) -> None:
        """The connection holds one slot less."""
        connection.holding -= 1
        if not connection.active:
            # New connections without end must not starve those that wait: time also passes when one goes.
            ahead = min(connection.clock - self._virtual_time, _MAX_AHEAD_SECONDS)
            self._virtual_time += max(0.0, ahead) / (len(self._heap) + 1)

    def append(self, connection: Connection[W], waiter: W, *, first: bool = False) -> None:
        """Wait behind the connection's other waiters, or before them if `first`."""
        (connection.waiting.appendleft if first else connection.waiting.append)(waiter)
        self.size += 1
        if not connection.in_heap:
            self._push(connection)

    def remove(self, connection: Connection[W], waiter: W) -> None:
        """Wait no longer."""
        connection.waiting.remove(waiter)
        self.size -= 1

    def has_earlier(self, connection: Connection[W]) -> bool:
        """Whether a connection waits whose clock is behind that of `connection`."""
        due = self._due()
        return due is not None and due.clock < connection.clock

    def popleft(self) -> W | None:
        """Remove the waiter whose turn it is, and count its slot; None if there is none."""
        connection = self._due()
        if connection is None:
            return None
        self._pop()
        waiter = connection.waiting.popleft()
        self.size -= 1
        if connection.waiting:
            self._push(connection)
        self.hold(connection)
        return waiter

    def _due(self) -> Connection[W] | None:
        """The connection whose turn it is. It is then first in the heap."""
        while self._heap:
            clock, _, connection = self._heap[0]
            if connection.waiting and clock == connection.clock:
                return connection
            # Its waiters have left, or its clock has advanced.
            self._pop()
            if connection.waiting:
                self._push(connection)
        return None

    def _push(self, connection: Connection[W]) -> None:
        connection.in_heap = True
        self._pushes += 1
        heappush(self._heap, (connection.clock, self._pushes, connection))

    def _pop(self) -> None:
        _, _, connection = heappop(self._heap)
        connection.in_heap = False

    def _forget(self) -> None:
        """Now and then, forget connections without calls, once the others have caught up with their clocks."""
        if len(self._connections) < self._forget_at:
            return
        now = self._virtual_time
        self._connections = {peer: one for peer, one in self._connections.items() if one.active or one.clock > now}
        self._forget_at = 2 * len(self._connections) + _REMEMBERED
