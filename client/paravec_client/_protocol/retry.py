"""Which failed calls are retried, and when.

gRPC's own retryPolicy is not used. It tries five times at most, too few if one of three servers refuses all
(one call in 243 fails), and in grpcio 1.85 its throttling takes tokens for failures and gives none back for successes.
"""

import random
from collections.abc import Iterator

from ..config import Retry

RETRIED = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"})
"""Statuses from a server whose call may do better elsewhere or later; CANCELLED is what gRPC's core says of calls
that the server resets, or whose server was told to stop. To embed a document twice does no harm."""


class Retries:
    """Tries again, of all calls of a client together: no more than there were answers, and the reserve.

    So where servers are at their limit, callers at most double the load. Threads take no lock: they may miscount by a
    few, and a lock could be held when the process forks.
    """

    def __init__(self, config: Retry) -> None:
        self._config = config
        self._left = config.reserve

    def answered(self) -> None:
        """A call was answered."""
        self._left = min(self._left + 1, self._config.reserve)

    def pauses(self, patience: float) -> Iterator[float]:
        """Seconds to wait before each further try of a call, `patience` or a little more in all."""
        pause = self._config.first_pause
        while patience > 0:
            if self._left <= 0:
                return
            self._left -= 1
            yield pause * random.uniform(0.5, 1.5)  # noqa: S311  no secret
            patience -= pause
            pause = min(2 * pause, self._config.longest_pause)
