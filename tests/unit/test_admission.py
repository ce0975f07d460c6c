"""How much work is taken on, and from whom."""

from pathlib import Path

import pytest

from paravec_server.rpc.admission import Admission
from paravec_server.rpc.errors import NotReadyError, OverloadedError
from paravec_server.settings import Settings
from paravec_server.telemetry.counters import SharedCounters, WorkerCounters


@pytest.fixture
def row() -> WorkerCounters:
    """Counters of one worker."""
    return SharedCounters().workers[0]


@pytest.fixture
def admission(row: WorkerCounters) -> Admission:
    """Bounds of 4 calls, 100 bytes and 10 seconds of work, open."""
    settings = Settings(model=Path("m"), max_concurrent_rpcs=4, max_bytes_in_flight=100, max_work_in_flight=10.0)
    opened = Admission(settings, row)
    opened.open()
    return opened


def test_bytes_are_bounded(admission: Admission, row: WorkerCounters) -> None:
    """What would go beyond is refused and not counted, and taken on when there is room again."""
    admission.enter()
    first = admission.reserve("a", size=50, work=0)
    with pytest.raises(OverloadedError, match="bytes"):
        admission.reserve("a", size=60, work=0)
    assert (row["calls_in_flight"], row["bytes_in_flight"], row["refused_bytes"]) == (1, 50, 1)
    admission.leave(first, 0)
    admission.sent(first)
    admission.reserve("a", size=60, work=0)


def test_work_is_bounded_for_callers_with_many_calls(row: WorkerCounters) -> None:
    """Four calls may be as long as they like."""
    admission = Admission(Settings(model=Path("m"), max_work_in_flight=10.0), row)
    held = [admission.reserve("a", size=1, work=100) for _ in range(4)]
    with pytest.raises(OverloadedError, match="work"):
        admission.reserve("a", size=1, work=0.1)
    assert (row["work_in_flight"], row["refused_work"]) == (400_000_000, 1)
    for one in held:
        admission.set_work(one, 1)
    admission.reserve("a", size=1, work=6)
    with pytest.raises(OverloadedError, match="work"):
        admission.reserve("a", size=1, work=6)
    admission.reserve("b", size=1, work=4)


def test_calls_are_bounded(admission: Admission, row: WorkerCounters) -> None:
    """The call beyond the bound is refused."""
    taken = [admission.reserve("a", size=0, work=0) for _ in range(4)]
    with pytest.raises(OverloadedError, match="calls"):
        admission.reserve("a", size=0, work=0)
    assert row["calls_in_flight"] == 4
    admission.enter()
    admission.leave(taken[0], 0)
    admission.reserve("a", size=0, work=0)


def test_short_texts_are_not_bounded_by_what_is_in_flight(admission: Admission) -> None:
    """Whatever else is taken on."""
    admission.reserve("a", size=1000, work=1000)
    for _ in range(1000):
        admission.enter()


def test_one_call_beyond_a_bound_is_taken_on_alone(admission: Admission) -> None:
    """Else it could never be answered; but not the next of the same caller."""
    admission.reserve("a", size=1000, work=1000)
    with pytest.raises(OverloadedError):
        admission.reserve("a", size=1, work=0)


def test_a_caller_is_not_refused_within_its_share(admission: Admission) -> None:
    """Though another has filled the bounds: that one has to wait until it is within its own."""
    greedy = [admission.reserve("greedy", size=25, work=2.5) for _ in range(4)]
    for _ in range(2):
        admission.reserve("modest", size=25, work=2.5)
    with pytest.raises(OverloadedError):
        admission.reserve("modest", size=25, work=2.5)
    admission.enter()
    admission.leave(greedy[0], 0)
    with pytest.raises(OverloadedError):
        admission.reserve("greedy", size=25, work=2.5)


def test_memory_has_an_end_however_many_callers_there_are(admission: Admission, row: WorkerCounters) -> None:
    """Each gets one call, until twice the bound is reached."""
    for caller in range(8):
        admission.reserve(str(caller), size=0, work=1000)
    with pytest.raises(OverloadedError, match="calls"):
        admission.reserve("one more", size=0, work=0)
    assert row["calls_in_flight"] == 8


def test_an_answer_counts_until_it_is_sent(admission: Admission, row: WorkerCounters) -> None:
    """In place of the message, against its caller, and nothing is left of either."""
    admission.enter()
    held = admission.reserve("a", size=50, work=0.1 + 0.2)
    admission.set_work(held, 0.7)
    assert row["work_in_flight"] == 700_000
    admission.leave(held, 80)
    assert (row["calls_in_flight"], row["bytes_in_flight"], row["work_in_flight"]) == (0, 80, 0)
    admission.sent(held)
    assert row["bytes_in_flight"] == 0
    assert not admission._connections


def test_a_refusal_says_when_to_come_again(admission: Admission) -> None:
    """In the form that clients of gRPC know."""
    admission.reserve("a", size=1000, work=0)
    with pytest.raises(OverloadedError) as caught:
        admission.reserve("a", size=1000, work=0)
    kinds = [detail.TypeName() for detail in caught.value.status.details]
    assert kinds == ["google.rpc.ErrorInfo", "google.rpc.RetryInfo"]
    assert 50 <= int(dict(caught.value.trailers)["grpc-retry-pushback-ms"]) < 150


def test_draining_lets_no_call_in_and_waits_for_those_inside(admission: Admission, row: WorkerCounters) -> None:
    """Those in flight still count until they leave."""
    admission.enter()
    admission.close()
    with pytest.raises(NotReadyError, match="stopping"):
        admission.enter()
    assert row["draining"] == 1
    assert not admission.wait_until_idle(0.01)
    admission.leave(None, 0)
    assert not admission.wait_until_idle(0.01), "its answer is on the way"
    admission.sent(None)
    assert admission.wait_until_idle(1)


def test_workers_count_in_memory_that_is_shared() -> None:
    """What one process counts, another that knows the file reads."""
    ours = SharedCounters(2)
    theirs = SharedCounters(2, ours.fileno)
    theirs.workers[1]["documents"] = 3
    theirs.hang = True
    assert (ours.workers[0]["documents"], ours.workers[1]["documents"], ours.hang) == (0, 3, True)
