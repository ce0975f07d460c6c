"""How much work the server takes on: calls, documents and tokens in flight, each with a bound."""

import random
import threading

from .errors import NotReadyError, OverloadedError
from .figures import CALLS, DOCUMENTS, DRAINING, SERVING, STATE, TOKENS, Row
from .settings import Settings

# Who is refused is to come again after so long, not all at the same moment.
_RETRY_MILLISECONDS = range(50, 150)

# Answers that may be read already, though gRPC has not said so yet: who has one may call again.
_ON_THEIR_WAY = 16


class Admission:
    """Counts what is in flight, and refuses what is beyond the bounds.

    The bounds are looked at when a call comes, before its message is read, so that a refusal costs little; and
    again when it is known how much it asks for, if it is not brief. A call that alone is beyond a bound is taken on
    if nothing else is in flight. What comes in a stream is not refused but waits, by flow control: a stream counts
    as a call, not by its documents.
    """

    def __init__(self, settings: Settings, row: Row) -> None:
        self._row, self._cells, self._lock = row, row.cells, row.lock
        self._idle = threading.Condition(row.lock)
        self._calls = settings.max_concurrent_rpcs
        self._documents = settings.max_documents_in_flight
        self._tokens = settings.max_tokens_in_flight
        self._answers = 0

    def open(self) -> None:
        """Take calls on from now."""
        self._row["state"] = SERVING

    def close(self) -> None:
        """Refuse calls from now on."""
        with self._lock:
            self._row["state"] = DRAINING

    def idle(self, seconds: float) -> bool:
        """Wait until no call is in flight and all answers are sent; False if it takes longer."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._cells[CALLS] and not self._answers, seconds)

    def enter(self) -> None:
        """Take a call on; NotReadyError or OverloadedError if it is not."""
        cells = self._cells
        with self._lock:
            self._check_ready()
            # Answers that nobody reads take memory, but their calls have left.
            if cells[CALLS] >= self._calls or self._answers >= self._calls + _ON_THEIR_WAY:
                raise self._overloaded("calls")
            if cells[DOCUMENTS] >= self._documents:
                raise self._overloaded("documents")
            if cells[TOKENS] >= self._tokens:
                raise self._overloaded("tokens")
            cells[CALLS] += 1

    @property
    def ready(self) -> bool:
        """Whether calls are taken on."""
        return self._row["state"] == SERVING

    def check_ready(self) -> None:
        """NotReadyError unless calls are taken on."""
        with self._lock:
            self._check_ready()

    def take(self, documents: int, tokens: int) -> None:
        """Add to what is in flight; OverloadedError, and nothing is added, if that is too much."""
        cells = self._cells
        with self._lock:
            if documents and 0 < cells[DOCUMENTS] > self._documents - documents:
                raise self._overloaded("documents")
            if tokens and 0 < cells[TOKENS] > self._tokens - tokens:
                raise self._overloaded("tokens")
            cells[DOCUMENTS] += documents
            cells[TOKENS] += tokens

    def leave(self, documents: int, tokens: int) -> None:
        """A call has ended, and so has what it took. It has an answer, which gRPC has yet to send."""
        cells = self._cells
        with self._lock:
            self._answers += 1
            cells[CALLS] -= 1
            cells[DOCUMENTS] -= documents
            cells[TOKENS] -= tokens

    def sent(self) -> None:
        """The answer of a call that has left is sent, or never will be."""
        with self._lock:
            self._answers -= 1
            if not self._answers:
                self._idle.notify_all()

    def _check_ready(self) -> None:
        state = self._cells[STATE]
        if state == DRAINING:
            self._row["draining"] += 1
            raise NotReadyError("the server is stopping")
        if state != SERVING:
            self._row["loading"] += 1
            raise NotReadyError("the model is loading")

    def _overloaded(self, what: str) -> OverloadedError:
        self._row[f"refused_{what}"] += 1
        return OverloadedError(what, random.choice(_RETRY_MILLISECONDS))  # noqa: S311
