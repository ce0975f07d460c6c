"""Calls that wait for their request."""

from typing import Any

from paravec_server.rpc.call import RpcMethod


class Call:
    """A call whose context notes that it is cancelled."""

    def __init__(self) -> None:
        self.context, self.cancelled = self, False

    def cancel(self) -> None:
        """As grpcio's context does it."""
        self.cancelled = True


def test_one_call_too_many_cancels_the_one_that_waits_longest() -> None:
    """As many as `max_waiting` wait for their request; the next one cancels the oldest and no other."""
    method = RpcMethod(lambda *_: b"", max_waiting=3)
    calls: list[Any] = [Call() for _ in range(4)]
    for call in calls:
        method.await_request(call)
    assert [call.cancelled for call in calls] == [True, False, False, False]
