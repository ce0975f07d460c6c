"""Compute slots, and how callers share them."""

import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from math import inf

import pytest

from paravec_model.errors import StoppedError
from paravec_server.rpc import compute_slots
from paravec_server.rpc.compute_slots import ComputeSlots
from paravec_server.rpc.errors import WaitedTooLongError
from paravec_server.rpc.slot import Slot
from paravec_server.rpc.start_time_queue import StartTimeQueue
from paravec_server.rpc.thread_pool import ElasticThreadPool

from ..servers import until

PATIENCE = 30.0


@pytest.fixture(autouse=True)
def _no_quantum(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call may be asked to give way at once."""
    monkeypatch.setattr(compute_slots, "_QUANTUM_SECONDS", 0.0)


def make(slots: int, timeout: float = inf) -> ComputeSlots:
    """Slots whose submitted calls run on threads of a real pool."""
    return ComputeSlots(slots, ElasticThreadPool(100, "test"), timeout)


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
    slots = make(2)
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
    slots, order = make(1), list[str]()
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
    slots = make(1)
    calls = [*(Endless(slots, "greedy") for _ in range(8)), Endless(slots, "modest")]
    until(lambda: sum(portions.values()) > 400, PATIENCE)
    for call in calls:
        call.may_end.set()
    for call in calls:
        call.join(PATIENCE)
    assert 0.3 < portions["modest"] / sum(portions.values()) < 0.7


@pytest.mark.parametrize("calls", [1, 2])
def test_what_a_caller_computed_alone_is_not_held_against_it(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that had the only slot to itself, for one call or several, goes on beside another that comes later."""
    monkeypatch.setattr(Endless, "portions", portions := Counter[str](), raising=False)
    slots = make(1)
    works = [Endless(slots, "early") for _ in range(calls)]
    until(lambda: portions["early"] > 300, PATIENCE)
    portions.clear()
    works += [Endless(slots, "late") for _ in range(2)]
    until(lambda: portions["late"] > 100, PATIENCE)
    early = portions["early"]
    for work in works:
        work.may_end.set()
    for work in works:
        work.join(PATIENCE)
    assert early > 50


def test_an_idle_caller_gains_no_credit() -> None:
    """A caller that was idle does not then hold the only slot for the time it missed."""
    slots = make(1)
    with slots.hold("steady", stays), slots._lock:
        slots._queue.connection("steady").clock = 1000.0
    with slots.hold("steady", stays):
        pass
    with slots.hold("late", stays) as slot:
        assert slot.connection.clock >= 1000.0


def test_a_stopped_call_leaves_the_queue_at_once() -> None:
    """A stopped call frees its slot for the next, and one already stopped does not wait."""
    slots, leave = make(1), list[Callable[[], None]]()
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
    slots = make(1)
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
    slots = make(1, timeout=0.05)
    with slots.hold("caller", stays):
        with pytest.raises(WaitedTooLongError), slots.hold("other", stays):
            raise AssertionError
        assert not slots._queue.size
    with slots.hold("other", stays):
        pass


def test_stuck_slots_are_reported() -> None:
    """The slots are stuck when none is free and no work progresses."""
    slots = make(1)
    assert slots.stuck_seconds == 0
    with slots.hold("caller", stays) as slot:
        until(lambda: slots.stuck_seconds > 0.5, PATIENCE)
        slot.yield_if_due()
        assert slots.stuck_seconds < 0.5
    assert slots.stuck_seconds == 0


class Submitted:
    """A call of a caller without a thread; once it has a slot it waits until it may end."""

    def __init__(self, slots: ComputeSlots, caller: str, order: list[str] | None = None) -> None:
        self.caller, self.order = caller, order
        self.has_slot, self.may_end, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.errors: list[Exception] = []
        self.thread = ""
        self.leave: Callable[[], None] = lambda: None
        slots.submit(caller, self.on_cancel, self.run, self.refuse)

    def on_cancel(self, leave: Callable[[], None]) -> bool:
        """Keep what to call when the caller goes."""
        self.leave = leave
        return True

    def run(self, slot: Slot) -> None:
        """Wait, and give the slot up in between if that is due."""
        self.thread = threading.current_thread().name
        if self.order is not None:
            self.order.append(self.caller)
        self.has_slot.set()
        while not self.may_end.wait(0.001):
            slot.yield_if_due()
        self.ended.set()

    def refuse(self, error: Exception) -> None:
        """Keep the error."""
        self.errors.append(error)
        self.ended.set()


@pytest.fixture
def _no_preemption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls keep their slots until they end."""
    monkeypatch.setattr(compute_slots, "MAX_PREEMPTED", 0)


@pytest.mark.usefixtures("_no_preemption")
def test_submitted_calls_wait_without_threads_and_share_one() -> None:
    """Of a hundred calls only the first has a thread; it then runs the others, callers in turn."""
    slots, order = make(1), list[str]()
    calls = [Submitted(slots, "greedy", order) for _ in range(100)]
    modest = Submitted(slots, "modest", order)
    assert calls[0].has_slot.wait(PATIENCE)
    assert not any(call.has_slot.is_set() for call in (*calls[1:], modest))
    for call in (*calls, modest):
        call.may_end.set()
    for call in (*calls, modest):
        assert call.ended.wait(PATIENCE)
    assert order.index("modest") == 1
    until(lambda: slots._free == 1, PATIENCE)
    assert len({call.thread for call in (*calls, modest)}) == 1


@pytest.mark.usefixtures("_no_preemption")
def test_a_submitted_call_is_refused_once_it_has_waited_too_long() -> None:
    """A call that waits beyond the timeout is refused while another still computes."""
    slots = make(1, timeout=0.05)
    first, second = Submitted(slots, "a"), Submitted(slots, "b")
    assert first.has_slot.wait(PATIENCE)
    assert second.ended.wait(PATIENCE)
    assert isinstance(second.errors[0], WaitedTooLongError)
    first.may_end.set()
    until(lambda: slots._free == 1, PATIENCE)
    assert not slots._queue.size
    assert not second.has_slot.is_set()


def test_a_submitted_call_that_is_cancelled_never_computes() -> None:
    """It leaves the queue at once, and one that is cancelled before it is submitted does not enter it."""
    slots = make(1)
    first, second = Submitted(slots, "a"), Submitted(slots, "a")
    assert first.has_slot.wait(PATIENCE)
    second.leave()
    assert isinstance(second.errors[0], StoppedError)
    assert not slots._queue.size
    errors: list[Exception] = []
    slots.submit("a", lambda _: False, lambda _: None, errors.append)
    assert [type(error) for error in errors] == [StoppedError]
    first.may_end.set()
    until(lambda: slots._free == 1, PATIENCE)
    # Too late: it has ended.
    first.leave()
    assert not first.errors
    assert not second.has_slot.is_set()


def test_calls_that_have_left_are_forgotten_while_another_waits() -> None:
    """A call that waits for long does not keep those that came after it and left."""
    slots = make(1)
    first, second = Submitted(slots, "a"), Submitted(slots, "a")
    assert first.has_slot.wait(PATIENCE)
    for _ in range(1000):
        Submitted(slots, "a").leave()
    assert len(slots._submitted) < 200
    for call in (first, second):
        call.may_end.set()
    assert second.ended.wait(PATIENCE)


def test_no_more_calls_are_preempted_than_have_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a call keeps its slot although another caller is due."""
    monkeypatch.setattr(compute_slots, "MAX_PREEMPTED", 1)
    slots = make(1)
    calls = [Submitted(slots, name) for name in "abc"]
    until(lambda: sum(call.has_slot.is_set() for call in calls) == 2, PATIENCE)
    time.sleep(0.05)
    assert sum(call.has_slot.is_set() for call in calls) == 2
    for call in calls:
        call.may_end.set()
    for call in calls:
        assert call.ended.wait(PATIENCE)
    until(lambda: slots._free == 1, PATIENCE)
    assert slots._preempted == 0


def test_many_long_calls_of_others_do_not_hold_up_a_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two callers have more long calls than may be preempted; a third one's call gets the slot all the same."""
    monkeypatch.setattr(compute_slots, "MAX_PREEMPTED", 8)
    slots = make(1)
    calls = [Submitted(slots, name) for name in "ab" * 20]
    until(lambda: slots._preempted >= 4, PATIENCE)
    time.sleep(0.1)
    modest = Submitted(slots, "modest")
    got_slot = modest.has_slot.wait(PATIENCE)
    for call in (*calls, modest):
        call.may_end.set()
    for call in (*calls, modest):
        assert call.ended.wait(PATIENCE)
    assert got_slot


@pytest.mark.usefixtures("_no_preemption")
def test_work_with_a_thread_of_its_own_always_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams share a slot, however many submitted calls are preempted: they need no more threads for it."""
    monkeypatch.setattr(Endless, "portions", portions := Counter[str](), raising=False)
    slots = make(1)
    works = [Endless(slots, name) for name in "ab"]
    until(lambda: min(portions["a"], portions["b"]) > 20, PATIENCE)
    for work in works:
        work.may_end.set()
    for work in works:
        work.join(PATIENCE)


def test_a_call_that_gets_a_slot_has_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """When as many calls as possible are preempted, those that have the slots still run: the pool has threads for
    both."""
    monkeypatch.setattr(compute_slots, "MAX_PREEMPTED", 2)
    slots = ComputeSlots(2, ElasticThreadPool(compute_slots.max_threads(2), "test"))
    calls = [Submitted(slots, name) for name in "abcdef"]
    until(lambda: slots._preempted == 2, PATIENCE)
    until(lambda: sum(call.has_slot.is_set() for call in calls) == 4, PATIENCE)
    for call in calls:
        call.may_end.set()
    for call in calls:
        assert call.ended.wait(PATIENCE)


def test_an_ended_call_is_freed_without_the_garbage_collector() -> None:
    """Neither a call that ran nor one that was refused stays in a reference cycle: it holds its request."""
    slots, gone = make(1), list[weakref.ref[Submitted]]()
    gc.disable()
    try:
        first, second = Submitted(slots, "a"), Submitted(slots, "a")
        assert first.has_slot.wait(PATIENCE)
        second.leave()
        first.may_end.set()
        assert first.ended.wait(PATIENCE)
        until(lambda: slots._free == 1, PATIENCE)
        gone = [weakref.ref(first), weakref.ref(second)]
        for call in (first, second):
            # gRPC's context forgets its callbacks when the call ends.
            call.leave = lambda: None
        del first, second, call
        until(lambda: not any(one() for one in gone), PATIENCE)
    finally:
        gc.enable()


def test_new_connections_without_end_do_not_starve_one_that_waits() -> None:
    """A connection that has computed one turn has the next one, although others come for one short call each."""
    queue = StartTimeQueue[str]()
    queue.hold(old := queue.connection("old"))
    old.clock += 0.03
    queue.append(old, "old")
    queue.release(old)
    for i in range(24):
        queue.append(queue.connection(f"new {i}"), f"new {i}")
    for i in range(24, 2000):
        waiter = queue.popleft()
        assert waiter is not None
        if waiter == "old":
            return
        connection = queue.connection(waiter)
        connection.clock += 0.006
        queue.release(connection)
        queue.append(queue.connection(f"new {i}"), f"new {i}")
    raise AssertionError("it never had a turn")


def test_many_connections_share_as_fairly_as_few() -> None:
    """Slots rotate among thousands of connections, and connections without calls are forgotten."""
    queue = StartTimeQueue[int]()
    for i in range(3000):
        for _ in range(2):
            queue.append(queue.connection(i), i)
    rounds = []
    for _ in range(2):
        served = []
        for _ in range(3000):
            waiter = queue.popleft()
            assert waiter is not None
            queue.connection(waiter).clock += 1.0
            queue.release(queue.connection(waiter))
            served.append(waiter)
        rounds.append(sorted(served))
    assert rounds == [list(range(3000))] * 2
    assert queue.popleft() is None
    assert queue.size == 0
    for i in range(3000, 30_000):
        queue.hold(connection := queue.connection(i))
        queue.release(connection)
    assert len(queue._connections) < 10_000
