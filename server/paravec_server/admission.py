"""How much work the server takes on: calls, documents and tokens in flight, each with a bound."""

import threading

from .errors import NotReadyError, OverloadedError
from .figures import DRAINING, SERVING, Row
from .settings import Settings

_RETRY_SECONDS = 0.1


class Admission:
    """Counts what is in flight, and refuses what is beyond the bounds.

    The bounds are looked at when a call comes, before its message is read, so that a refusal costs little; and again
    when it is known how much it asks for. A call that alone is beyond a bound is taken on if nothing else is in flight.
    What comes in a stream is not refused but waits, by flow control: a stream counts as a call, not by its documents.
    """

    def __init__(self, settings: Settings, row: Row) -> None:
        self._row = row
        self._bounds = {
            "calls": settings.max_concurrent_rpcs,
            "documents": settings.max_documents_in_flight,
            "tokens": settings.max_tokens_in_flight,
        }
        self._amounts = dict.fromkeys(self._bounds, 0)
        self._lock = row.lock
        self._idle = threading.Condition(self._lock)

    def open(self) -> None:
        """Take calls on from now."""
        self._row["state"] = SERVING

    def close(self) -> None:
        """Refuse calls from now on."""
        with self._lock:
            self._row["state"] = DRAINING

    def idle(self, seconds: float) -> bool:
        """Wait until no call is in flight; False if it takes longer."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._amounts["calls"], seconds)

    def enter(self) -> None:
        """Take a call on; NotReadyError or OverloadedError if it is not."""
        with self._lock:
            self._check_ready()
            for what, amount in self._amounts.items():
                if amount >= self._bounds[what]:
                    raise self._overloaded(what)
            self._add("calls", 1)

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
        with self._lock:
            for what, amount in ("documents", documents), ("tokens", tokens):
                before = self._amounts[what]
                if amount and before and before + amount > self._bounds[what]:
                    raise self._overloaded(what)
            self._add("documents", documents)
            self._add("tokens", tokens)

    def leave(self, documents: int, tokens: int) -> None:
        """A call has ended, and so has what it took."""
        with self._lock:
            self._add("calls", -1)
            self._add("documents", -documents)
            self._add("tokens", -tokens)
            if not self._amounts["calls"]:
                self._idle.notify_all()

    def _check_ready(self) -> None:
        state = self._row["state"]
        if state == DRAINING:
            self._row["draining"] += 1
            raise NotReadyError("the server is stopping")
        if state != SERVING:
            self._row["loading"] += 1
            raise NotReadyError("the model is loading")

    def _overloaded(self, what: str) -> OverloadedError:
        self._row[f"refused_{what}"] += 1
        return OverloadedError(what, _RETRY_SECONDS)

    def _add(self, what: str, amount: int) -> None:
        if amount:
            self._amounts[what] += amount
            self._row[f"{what}_in_flight"] = self._amounts[what]
