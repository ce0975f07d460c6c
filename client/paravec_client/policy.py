"""How the client holds out while servers fail: connections that notice, calls that are tried again.

gRPC's own retryPolicy is not used. It tries five times at most, too few if one of three servers refuses all
(one call in 243 fails), and in grpcio 1.85 its throttling takes tokens for failures and gives none back for successes.
"""

import random
import threading
from collections.abc import Iterator

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # All pods behind a headless Service, not the first that answers.
    ("grpc.lb_policy_name", "round_robin"),
    # A server that comes up is noticed within a second, however long it was away.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A connection on which nothing arrives is probed, and given up well within a call's timeout. The second number is
    # also how long sent bytes may stay without TCP's acknowledgement.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Without this the one above has no effect on pings below a minute (seen with gRPC 1.85).
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)

RETRIED = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"})
"""Statuses from a server whose call may do better elsewhere or later; CANCELLED is what gRPC's core says of calls that
reach a server in its last moment. To embed a document twice does no harm."""

CALL_PATIENCE = 4.0
"""Seconds of pauses that a call makes before its failure is the answer; a server restarts in less."""

# Seconds of the first pause and of the longest; each is half as long again as drawn, or half as short.
_FIRST, _LONGEST = 0.05, 1.0

# Tries again that are in reserve for a burst of failures, as when a node with many calls in progress is lost.
_RESERVE = 500


class Retries:
    """Tries again, of all calls of a client together: no more than there were answers, and the reserve.

    So where servers are at their limit, callers at most double the load.
    """

    def __init__(self) -> None:
        self._left = _RESERVE
        self._lock = threading.Lock()

    def answered(self) -> None:
        """A call was answered."""
        with self._lock:
            self._left = min(self._left + 1, _RESERVE)

    def pauses(self, patience: float) -> Iterator[float]:
        """Seconds to wait before each further try of a call, `patience` or a little more in all."""
        pause = _FIRST
        while patience > 0:
            with self._lock:
                if not self._left:
                    return
                self._left -= 1
            yield pause * random.uniform(0.5, 1.5)  # noqa: S311  no secret
            patience -= pause
            pause = min(2 * pause, _LONGEST)
