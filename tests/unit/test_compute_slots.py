"""Compute slots, and how callers share them."""

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from paravec_model.errors import StoppedError
from paravec_server.rpc.errors import WaitedTooLongError
from paravec_server.services import compute_slots
from paravec_server.services.compute_slots import ComputeSlots, Slot

from ..servers import until

PATIENCE = 30.0


@pytest.fixture(autouse=True)
def _no_quantum(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call may be asked to give way at once."""
    monkeypatch.setattr(compute_slots, "_QUANTUM_SECONDS", 0.0)


def stays(_: Callable[[], None]) -> bool:
    """A caller who waits for as long as it takes."""
    return True


class Work(threading.Thread):
    """A call of a caller that holds a slot until it is told to go on or to end."""

    def __init__(self, slots: ComputeSlots, caller: str, order: list[str] | None = None) -> None:
        super().__init__(daemon=True)
        self.slots, self.caller, self.order = slots, caller, order
        self.asked, self.has_slot, self.may_end = threading.Event(), threading.Event(), threading.Event()
        self.start()
        assert self.asked.wait(PATIENCE)

    def _at_end(self, _: Callable[[], None]) -> bool:
        self.asked.set()
        return True

    def run(self) -> None:
        # One that finds a free slot is never asked whether it waits.
        if self.slots._free:
            self.asked.set()
        with self.slots.hold(self.caller, self._at_end) as slot:
            if self.order is not None:
                self.order.append(self.caller)
            self.has_slot.set()
            self.work(slot)

    def work(self, _: Slot) -> None:
        """Wait."""
        assert self.may_end.wait(PATIENCE)


def test_no_more_compute_at_once_than_there_are_slots() -> None:
    """The third waits until one of two has ended."""
    slots = ComputeSlots(2)
    first, second, third = (Work(slots, name) for name in "abc")
    assert first.has_slot.wait(PATIENCE)
    assert second.has_slot.wait(PATIENCE)
    assert not third.has_slot.wait(0.05)
    first.may_end.set()
    assert third.has_slot.wait(PATIENCE)
    second.may_end.set()
    third.may_end.set()
    for work in (first, second, third):
        work.join(PATIENCE)


def test_a_caller_with_one_call_does_not_wait_for_all_calls_of_another() -> None:
    """Ten calls of one caller wait; the call of another that comes last is next."""
    slots, order = ComputeSlots(1), list[str]()
    holder = Work(slots, "greedy")
    assert holder.has_slot.wait(PATIENCE)
    waiting = [Work(slots, "greedy", order) for _ in range(10)]
    modest = Work(slots, "modest", order)
    for work in (holder, modest, *waiting):
        work.may_end.set()
    for work in (holder, modest, *waiting):
        work.join(PATIENCE)
    assert (order[0], len(order)) == ("modest", 11)


class Endless(Work):
    """Work that never ends by itself and counts how often it goes on."""

    portions: Counter[str]

    def work(self, slot: Slot) -> None:
        """Compute portions of a millisecond."""
        while not self.may_end.is_set():
            time.sleep(0.001)
            self.portions[self.caller] += 1
            slot.yield_if_due()


def test_callers_get_equal_shares_whatever_they_have_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight calls of one caller get on together as far as the only call of another."""
    monkeypatch.setattr(Endless, "portions", portions := Counter[str](), raising=False)
    slots = ComputeSlots(1)
    calls = [*(Endless(slots, "greedy") for _ in range(8)), Endless(slots, "modest")]
    until(lambda: sum(portions.values()) > 400, PATIENCE)
    for call in calls:
        call.may_end.set()
    for call in calls:
        call.join(PATIENCE)
    assert 0.3 < portions["modest"] / sum(portions.values()) < 0.7


def test_an_idle_caller_gains_no_credit() -> None:
    """A caller that was idle does not then hold the only slot for the time it missed."""
    slots = ComputeSlots(1)
    with slots.hold("steady", stays), slots._lock:
        slots._connections["steady"].clock = 1000.0
    with slots.hold("steady", stays):
        pass
    with slots.hold("late", stays) as slot:
        assert slot.connection.clock >= 1000.0


def test_a_stopped_call_leaves_the_queue_at_once() -> None:
    """A stopped call frees its slot for the next, and one already stopped does not wait."""
    slots, leave = ComputeSlots(1), list[Callable[[], None]]()
    stopped = threading.Event()

    def waits(end: Callable[[], None]) -> bool:
        leave.append(end)
        return True

    def work() -> None:
        with pytest.raises(StoppedError), slots.hold("other", waits):
            raise AssertionError
        stopped.set()

    with slots.hold("caller", stays):
        thread = threading.Thread(target=work)
        thread.start()
        until(lambda: bool(leave), PATIENCE)
        leave[0]()
        assert stopped.wait(PATIENCE)
        with pytest.raises(StoppedError), slots.hold("other", lambda _: False):
            raise AssertionError
    leave[0]()
    with slots.hold("other", stays):
        pass


def test_a_call_stopped_while_preempted_returns_no_slot() -> None:
    """A call stopped while it has given its slot to others does not return a slot a second time."""
    slots = ComputeSlots(1)
    with slots.hold("greedy", lambda _: False) as slot:
        other = Work(slots, "other")
        with pytest.raises(StoppedError):
            slot.yield_if_due()
        assert other.has_slot.wait(PATIENCE)
    assert slots._free == 0
    other.may_end.set()
    other.join(PATIENCE)
    assert slots._free == 1


def test_a_wait_ends_at_its_timeout() -> None:
    """After its timeout a call raises and is out of the queue."""
    slots = ComputeSlots(1, timeout=0.05)
    with slots.hold("caller", stays):
        with pytest.raises(WaitedTooLongError), slots.hold("other", stays):
            raise AssertionError
        assert not slots._waiting
    with slots.hold("other", stays):
        pass


def test_stuck_slots_are_reported() -> None:
    """The slots are stuck when none is free and no work progresses."""
    slots = ComputeSlots(1)
    assert slots.stuck_seconds == 0
    with slots.hold("caller", stays) as slot:
        until(lambda: slots.stuck_seconds > 0.5, PATIENCE)
        slot.yield_if_due()
        assert slots.stuck_seconds < 0.5
    assert slots.stuck_seconds == 0
