"""The queues of calls that wait to be answered in batches, or to be refused."""

from math import inf

from paravec_server.rpc.fast_path.fair_queue import FairQueue, RefusalQueue


def test_a_new_connection_goes_first() -> None:
    """A batch begins with the call of a connection that had none waiting, however many another has."""
    queue = FairQueue[str]()
    for _ in range(40):
        queue.add("many", "many")
    assert queue.take() == ["many"] * 16
    queue.add("new", "new")
    assert queue.take() == ["new", *["many"] * 15]
    assert queue.size == 9


def test_refusals_leave_at_a_limited_rate() -> None:
    """Callers that try again at once must not keep the server busy; a lone refusal does not wait."""
    queue = RefusalQueue[int]()
    assert queue.seconds_until_due == inf
    for number in range(40):
        queue.add("storm", number)
    assert queue.seconds_until_due == 0.0
    assert queue.take() == list(range(16))
    assert queue.take() == []
    assert 0.0 < queue.seconds_until_due <= 0.016
    assert queue.size == 24


def test_refusals_leave_faster_if_one_would_wait_for_long() -> None:
    """Else callers would keep the server's memory for as long as their deadlines allow."""
    queue = RefusalQueue[int]()
    for number in range(20_000):
        queue.add(str(number % 100), number)
    assert queue.take()
    assert queue.seconds_until_due <= 16 / 19_000
