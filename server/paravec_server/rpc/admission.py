"""How much work the server takes on, and how it is shared among callers.

Short texts are not bounded by what is in flight: an answer costs no more than a refusal. All other calls are bounded
three ways: by their number, the bytes of their messages, and the seconds that they will compute, as far as that can be
told from their size. A caller is a connection. While several callers have calls in flight, none of them is refused
within its equal share of a bound, even if others fill the rest.
"""

import random
import threading
from typing import Literal

from ..settings import Settings
from ..telemetry.counters import BYTES, CALLS, DRAINING, SERVING, STATE, WORK, Row
from .errors import NotReadyError, OverloadedError

# A caller that is refused is to come again after so long, not all callers at the same moment.
_RETRY_MILLISECONDS = range(50, 150)

# Calls of all kinds that are held in memory. Each takes some 10 kB, most of it in gRPC's core.
_MOST_CALLS = 20_000

# Calls that a caller may have in flight however long they compute.
_FEW = 4

Resource = Literal["calls", "bytes", "work", "waited"]

_CELLS: tuple[tuple[Resource, int], ...] = (("calls", CALLS), ("bytes", BYTES), ("work", WORK))


class Caller:
    """What the calls of one connection hold, by cell."""

    __slots__ = ("held", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.held = {CALLS: 0, BYTES: 0, WORK: 0}


class Held:
    """What one call holds, of which the admission keeps account."""

    __slots__ = ("amounts", "caller")

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.amounts = {CALLS: 0, BYTES: 0, WORK: 0}


class Admission:
    """Keeps account of what is in flight, and refuses what is beyond the bounds."""

    def __init__(self, settings: Settings, row: Row) -> None:
        self._row, self._cells, self._lock = row, row.cells, row.lock
        self._idle = threading.Condition(row.lock)
        self._bounds = {
            CALLS: settings.max_concurrent_rpcs,
            BYTES: settings.max_bytes_in_flight,
            WORK: _microseconds(settings.max_work_in_flight),
        }
        self._callers: dict[str, Caller] = {}
        # Calls that were taken on and have not ended; answers that gRPC has yet to send.
        self._open = self._answers = 0

    def open(self) -> None:
        """Take calls on from now."""
        self._row["state"] = SERVING

    def close(self) -> None:
        """Refuse calls from now on."""
        with self._lock:
            self._row["state"] = DRAINING

    def idle(self, seconds: float) -> bool:
        """Wait until no call is in flight and all answers are sent; False if it takes longer."""
        with self._idle:
            return self._idle.wait_for(lambda: self.is_idle, seconds)

    @property
    def is_idle(self) -> bool:
        """Whether at the moment no call is in flight."""
        return not self._open and not self._answers

    @property
    def ready(self) -> bool:
        """Whether calls are taken on."""
        return self._row["state"] == SERVING

    def check_ready(self) -> None:
        """NotReadyError unless calls are taken on."""
        with self._lock:
            self._check_ready()

    def enter(self) -> None:
        """A call has come. NotReadyError or OverloadedError if it is not taken on; else it must `leave`."""
        with self._lock:
            self._check_ready()
            if self._open >= _MOST_CALLS:
                raise self._overloaded("calls")
            self._open += 1

    def take(self, caller: str, *, size: int, work: float) -> Held:
        """A call that is not brief has come, whose message has `size` bytes and will compute for `work` seconds.

        OverloadedError, and nothing is held, if that is more than this caller may have in flight.
        """
        with self._lock:
            account = self._callers.get(caller) or Caller(caller)
            callers = len(self._callers) + (caller not in self._callers)
            wanted = {CALLS: 1, BYTES: size, WORK: _microseconds(work)}
            for resource, cell in _CELLS:
                if not self._fits(cell, wanted[cell], account.held, callers):
                    raise self._overloaded(resource)
            self._callers[caller] = account
            held = Held(account)
            for cell, amount in wanted.items():
                self._add(held, cell, amount)
            return held

    def _fits(self, cell: int, amount: int, held: dict[int, int], callers: int) -> bool:
        total, own, bound = self._cells[cell], held[cell], self._bounds[cell]
        if total + amount <= bound:
            return True
        if cell == WORK:
            # Slots are shared fairly: few calls, however long, hold up nobody but their caller.
            return held[CALLS] < _FEW or own + amount <= bound / callers
        # Memory and threads have an end.
        return total < 2 * bound and (own == 0 or own + amount <= bound / callers)

    def set_work(self, held: Held, work: float) -> None:
        """It is known now how long a call will compute."""
        with self._lock:
            self._add(held, WORK, _microseconds(work) - held.amounts[WORK])

    def add_bytes(self, held: Held, size: int) -> None:
        """Count bytes of a stream's messages; negative ones when they are worked off."""
        with self._lock:
            self._add(held, BYTES, size)

    def leave(self, held: Held | None, answer: int) -> None:
        """A call has ended. Its answer, of so many bytes, counts until it is `sent`."""
        with self._lock:
            self._open -= 1
            self._answers += 1
            if held:
                self._add(held, CALLS, -held.amounts[CALLS])
                self._add(held, WORK, -held.amounts[WORK])
                self._add(held, BYTES, answer - held.amounts[BYTES])

    def sent(self, held: Held | None) -> None:
        """The answer of a call that has left is sent, or never will be."""
        with self._lock:
            self._answers -= 1
            if held:
                self._add(held, BYTES, -held.amounts[BYTES])
                if not any(held.caller.held.values()):
                    self._callers.pop(held.caller.name, None)
            if self.is_idle:
                self._idle.notify_all()

    def refuse_waiting(self) -> OverloadedError:
        """Why a call is refused that has waited too long."""
        with self._lock:
            return self._overloaded("waited")

    def _add(self, held: Held, cell: int, amount: int) -> None:
        held.amounts[cell] += amount
        held.caller.held[cell] += amount
        self._cells[cell] += amount

    def _check_ready(self) -> None:
        state = self._cells[STATE]
        if state == DRAINING:
            self._row["draining"] += 1
            raise NotReadyError("the server is stopping")
        if state != SERVING:
            self._row["loading"] += 1
            raise NotReadyError("the model is loading")

    def _overloaded(self, resource: Resource) -> OverloadedError:
        self._row[f"refused_{resource}"] += 1
        return OverloadedError(resource, random.choice(_RETRY_MILLISECONDS))  # noqa: S311


def _microseconds(seconds: float) -> int:
    """Whole numbers: what is added and taken away again leaves nothing."""
    return round(1e6 * seconds)
