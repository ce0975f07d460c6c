"""How much work is taken on."""

from pathlib import Path

import pytest

from paravec_server.admission import Admission
from paravec_server.errors import NotReadyError, OverloadedError
from paravec_server.figures import Figures, Row
from paravec_server.settings import Settings


@pytest.fixture
def row() -> Row:
    """Figures of one worker."""
    return Figures().rows[0]


@pytest.fixture
def admission(row: Row) -> Admission:
    """Bounds of 3 calls, 10 documents and 100 tokens, open."""
    settings = Settings(model=Path("m"), max_concurrent_rpcs=3, max_documents_in_flight=10, max_tokens_in_flight=100)
    opened = Admission(settings, row)
    opened.open()
    return opened


@pytest.mark.parametrize(("documents", "tokens", "what"), [(4, 1, "documents"), (1, 95, "tokens")])
def test_each_bound_holds(admission: Admission, row: Row, documents: int, tokens: int, what: str) -> None:
    """What would go beyond it is refused and not counted, and taken on when there is room again."""
    admission.enter()
    admission.take(7, 10)
    admission.enter()
    with pytest.raises(OverloadedError, match=what):
        admission.take(documents, tokens)
    assert (row["documents_in_flight"], row["tokens_in_flight"]) == (7, 10)
    assert row[f"refused_{what}"] == 1
    admission.leave(7, 10)
    admission.take(documents, tokens)


def test_calls_are_bounded(admission: Admission, row: Row) -> None:
    """The call beyond the bound is refused."""
    for _ in range(3):
        admission.enter()
    with pytest.raises(OverloadedError, match="calls"):
        admission.enter()
    assert row["calls_in_flight"] == 3
    admission.leave(0, 0)
    admission.enter()


def test_one_call_beyond_a_bound_is_taken_on_alone(admission: Admission) -> None:
    """Else it could never be answered; but the next is refused before it has said what it wants."""
    admission.enter()
    admission.take(50, 1000)
    with pytest.raises(OverloadedError):
        admission.enter()
    admission.leave(50, 1000)
    admission.enter()


def test_a_refusal_says_when_to_come_again(admission: Admission) -> None:
    """In the form that clients of gRPC know."""
    for _ in range(3):
        admission.enter()
    with pytest.raises(OverloadedError) as caught:
        admission.enter()
    kinds = [detail.TypeName() for detail in caught.value.status.details]
    assert kinds == ["google.rpc.ErrorInfo", "google.rpc.RetryInfo"]


def test_draining_lets_no_call_in_and_waits_for_those_inside(admission: Admission, row: Row) -> None:
    """Those in flight still count until they leave."""
    admission.enter()
    admission.close()
    with pytest.raises(NotReadyError, match="stopping"):
        admission.enter()
    assert row["draining"] == 1
    assert not admission.idle(0.01)
    admission.leave(0, 0)
    assert not admission.idle(0.01), "its answer is on the way"
    admission.sent()
    assert admission.idle(1)


def test_workers_count_in_memory_that_is_shared() -> None:
    """What one process counts, another that knows the file reads."""
    ours = Figures(2)
    theirs = Figures(2, ours.fileno)
    theirs.rows[1]["documents"] = 3
    theirs.hang = True
    assert (ours.rows[0]["documents"], ours.rows[1]["documents"], ours.hang) == (0, 3, True)
