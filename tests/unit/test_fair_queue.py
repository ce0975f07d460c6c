"""The queues of calls that wait to be answered in batches, or to be refused."""

from math import inf
from types import SimpleNamespace

import pytest

from paravec_server.rpc.fast_path import fair_queue
from paravec_server.rpc.fast_path.fair_queue import FairQueue, RefusalQueue


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that refusals wait by, which only the test advances."""
    stopped = SimpleNamespace(now=100.0)
    monkeypatch.setattr(fair_queue, "time", SimpleNamespace(monotonic=lambda: stopped.now))
    return stopped


def test_a_new_connection_goes_first() -> None:
    """A batch begins with the call of a connection that had none waiting, however many another has."""
    queue = FairQueue[str]()
    for _ in range(40):
        queue.add("many", "many")
    assert queue.take() == ["many"] * 16
    queue.add("new", "new")
    assert queue.take() == ["new", *["many"] * 15]
    assert queue.size == 9


def test_refusals_leave_at_a_limited_rate(clock: SimpleNamespace) -> None:
    """Callers that try again at once must not keep the server busy; a lone refusal does not wait."""
    queue = RefusalQueue[int]()
    assert queue.seconds_until_due == inf
    for number in range(40):
        queue.add("storm", number)
    assert queue.seconds_until_due == 0.0
    assert queue.take() == list(range(16))
    assert queue.take() == []
    assert queue.seconds_until_due == pytest.approx(0.016)
    clock.now += 0.017
    assert queue.take() == list(range(16, 32))
    clock.now += 0.017
    assert queue.take() == list(range(32, 40))
    clock.now += 0.009
    queue.add("late", 40)
    assert queue.take() == [40]


def test_refusals_leave_faster_if_one_would_wait_for_long() -> None:
    """Else callers would keep the server's memory for as long as their deadlines allow."""
    queue = RefusalQueue[int]()
    for number in range(20_000):
        queue.add(str(number % 100), number)
    assert queue.take()
    assert queue.seconds_until_due <= 16 / 19_000
