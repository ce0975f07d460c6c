"""Admission: limits of calls, bytes and work, and each caller's share."""

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


def test_streams_are_bounded_apart_from_other_calls(row: WorkerCounters) -> None:
    """The stream beyond the limit is refused; a call is not, and a stream that has ended makes room."""
    admission = Admission(Settings(model=Path("m"), max_streams_in_flight=2), row)
    admission.open()
    admission.enter()
    first, _ = (admission.reserve("a", size=0, work=0, is_stream=True) for _ in range(2))
    with pytest.raises(OverloadedError, match="streams"):
        admission.reserve("a", size=0, work=0, is_stream=True)
    admission.reserve("a", size=1, work=1)
    assert (row["calls_in_flight"], row["streams_in_flight"], row["refused_streams"]) == (3, 2, 1)
    admission.leave(first, 0)
    admission.sent(first)
    admission.reserve("a", size=0, work=0, is_stream=True)
    assert (row["calls_in_flight"], row["streams_in_flight"]) == (3, 2)


def test_calls_are_bounded(admission: Admission, row: WorkerCounters) -> None:
    """The call beyond the bound is refused."""
    taken = [admission.reserve("a", size=0, work=0) for _ in range(4)]
    with pytest.raises(OverloadedError, match="calls"):
        admission.reserve("a", size=0, work=0)
    assert row["calls_in_flight"] == 4
    admission.enter()
    admission.leave(taken[0], 0)
    admission.reserve("a", size=0, work=0)


def test_short_texts_are_admitted_whatever_is_in_flight(admission: Admission) -> None:
    """A short text is admitted when all limits are reached."""
    admission.reserve("a", size=1000, work=1000)
    for _ in range(1000):
        admission.enter()


def test_a_call_larger_than_the_limit_is_admitted_alone(admission: Admission) -> None:
    """A call that alone exceeds the limit is admitted if nothing is in flight, and the caller's next one is not."""
    admission.reserve("a", size=1000, work=1000)
    with pytest.raises(OverloadedError):
        admission.reserve("a", size=1, work=0)


def test_a_caller_within_its_share_is_admitted(admission: Admission) -> None:
    """When another caller has filled the limits, a caller within its share is admitted and the other has to wait."""
    greedy = [admission.reserve("greedy", size=25, work=2.5) for _ in range(4)]
    for _ in range(2):
        admission.reserve("modest", size=25, work=2.5)
    with pytest.raises(OverloadedError):
        admission.reserve("modest", size=25, work=2.5)
    admission.enter()
    admission.leave(greedy[0], 0)
    with pytest.raises(OverloadedError):
        admission.reserve("greedy", size=25, work=2.5)


def test_bytes_of_all_callers_are_bounded(admission: Admission, row: WorkerCounters) -> None:
    """However many callers there are, twice the limit of bytes is never exceeded."""
    for caller in range(8):
        admission.reserve(str(caller), size=0, work=1000)
    with pytest.raises(OverloadedError, match="calls"):
        admission.reserve("one more", size=0, work=0)
    assert row["calls_in_flight"] == 8


def test_a_response_counts_until_it_is_sent(admission: Admission, row: WorkerCounters) -> None:
    """A response's bytes count against its caller in place of the message's, and nothing is left when it is sent."""
    admission.enter()
    held = admission.reserve("a", size=50, work=0.1 + 0.2)
    admission.set_work(held, 0.7)
    assert row["work_in_flight"] == 700_000
    admission.leave(held, 80)
    assert (row["calls_in_flight"], row["bytes_in_flight"], row["work_in_flight"]) == (0, 80, 0)
    admission.sent(held)
    assert row["bytes_in_flight"] == 0
    assert not admission._connections


def test_a_refusal_has_a_retry_delay(admission: Admission) -> None:
    """The error carries a RetryInfo, which gRPC clients read."""
    admission.reserve("a", size=1000, work=0)
    with pytest.raises(OverloadedError) as caught:
        admission.reserve("a", size=1000, work=0)
    kinds = [detail.TypeName() for detail in caught.value.status.details]
    assert kinds == ["google.rpc.ErrorInfo", "google.rpc.RetryInfo"]
    assert 50 <= int(dict(caught.value.trailers)["grpc-retry-pushback-ms"]) < 150


def test_draining_admits_no_call_and_waits_for_those_in_flight(admission: Admission, row: WorkerCounters) -> None:
    """While draining, new calls are refused, and calls in flight count until they end."""
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


def test_counters_are_shared_between_processes() -> None:
    """What one process counts, another with the same file descriptor reads."""
    ours = SharedCounters(2)
    theirs = SharedCounters(2, ours.fileno)
    theirs.workers[1]["documents"] = 3
    theirs.hang = True
    assert (ours.workers[0]["documents"], ours.workers[1]["documents"], ours.hang) == (0, 3, True)
