"""How the client holds out while servers fail: connections that notice, calls that are tried again.

gRPC's own retryPolicy is not used. It tries five times at most, too few if one of three servers refuses all
(one call in 243 fails), and in grpcio 1.85 its throttling takes tokens for failures and gives none back for successes.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

from .config import ClientConfig, Retry


def channel_options(config: ClientConfig, healthy_service: str | None) -> list[tuple[str, Any]]:
    """Arguments of a channel, those of gRPC's channel_arg_names.h; it calls only servers where this service is ready.

    What is ready is told by grpc.health.v1, whose Watch gRPC's core keeps open to each server. A server without that
    method counts as ready.
    """
    # All pods behind a headless Service, not the first that answers.
    service: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if healthy_service:
        service["healthCheckConfig"] = {"serviceName": healthy_service}
    time, timeout = (round(1000 * seconds) for seconds in (config.keepalive.time, config.keepalive.timeout))
    return [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.service_config", json.dumps(service)),
        # What a resolver says would go before the above, and DNS has nothing to say.
        ("grpc.service_config_disable_resolution", 1),
        # A server that comes up is noticed within a second, however long it was away.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # A connection on which nothing arrives is probed, and given up well within a call's timeout. The second number
        # is also how long sent bytes may stay without TCP's acknowledgement.
        ("grpc.keepalive_time_ms", time),
        ("grpc.keepalive_timeout_ms", timeout),
        # Without this the one above has no effect on pings below a minute (seen with gRPC 1.85).
        ("grpc.http2.ping_timeout_ms", timeout),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]


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
