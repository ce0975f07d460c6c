"""The queue of short calls that wait to be answered in batches."""

from typing import Any

import pytest

from paravec_server.rpc.fast_path.fair_queue import FairQueue, ShortCall


class Call:
    """A call of one connection, or of one whose address cannot be read."""

    def __init__(self, peer: str | None) -> None:
        self.context, self._peer = self, peer

    def peer(self) -> str:
        """Its connection's address."""
        if self._peer is None:
            raise RuntimeError("no address")
        return self._peer


def short(peer: str | None) -> ShortCall:
    """A short call of a connection."""
    call: Any = Call(peer)
    method: Any = None
    return ShortCall(method, "", call, b"")


def test_a_call_that_cannot_be_queued_is_not_counted() -> None:
    """Else the thread that answers would poll without pause for a call that is not there."""
    queue = FairQueue()
    with pytest.raises(RuntimeError):
        queue.add(short(None))
    assert not queue.size
    assert not queue.take()


def test_a_new_connection_goes_first() -> None:
    """A batch begins with the call of a connection that had none waiting, however many another has."""
    queue = FairQueue()
    for _ in range(40):
        queue.add(short("many"))
    assert [taken.call.context.peer() for taken in queue.take()] == ["many"] * 16
    queue.add(short("new"))
    assert [taken.call.context.peer() for taken in queue.take()] == ["new", *["many"] * 15]
    assert queue.size == 9
