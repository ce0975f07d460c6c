"""Brief calls that wait to be answered."""

from collections import deque
from typing import Any, NamedTuple

from ..call import Call, Method

# Brief calls that are answered together, at most, and those of one caller when others wait.
_BATCH, _QUANTUM = 16, 8


class BriefCall(NamedTuple):
    """One that waits to be answered together with others."""

    method: Method
    kind: Any
    call: Call
    data: bytes


class FairQueue:
    """Brief calls that wait, in turn from each caller, whatever others have here.

    As in FQ-CoDel (RFC 8290), a caller that had nothing here goes first. The others follow by rotation, several calls
    at a time: answers to one connection leave in one packet.
    """

    def __init__(self) -> None:
        # By connection; the next one to be served is first.
        self._new: dict[str, deque[BriefCall]] = {}
        self._old: dict[str, deque[BriefCall]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, brief: BriefCall) -> None:
        """Have it wait."""
        self._count += 1
        caller = brief.call.caller
        waiting = self._old.get(caller) or self._new.get(caller)
        if waiting:
            waiting.append(brief)
        else:
            self._new[caller] = deque((brief,))

    def take(self) -> list[BriefCall]:
        """The next ones, `_BATCH` at most."""
        taken: list[BriefCall] = []
        # New callers without end may not starve the old ones.
        most = _BATCH - _QUANTUM if self._old else _BATCH
        while self._new and len(taken) < most:
            self._serve(self._new, 1, taken)
        while self._old and len(taken) < _BATCH:
            self._serve(self._old, min(_QUANTUM, _BATCH - len(taken)), taken)
        self._count -= len(taken)
        return taken

    def _serve(self, callers: dict[str, deque[BriefCall]], most: int, taken: list[BriefCall]) -> None:
        caller = next(iter(callers))
        waiting = callers.pop(caller)
        for _ in range(min(most, len(waiting))):
            taken.append(waiting.popleft())
        if waiting:
            self._old[caller] = waiting
