"""How the client holds out while servers fail: connections that notice, calls that are tried again."""

import json
import random
from collections.abc import Iterator

from paravec.v1 import embedding_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["EmbeddingService"].full_name

RETRIED = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED"})
"""Statuses of a call that may do better elsewhere or later. To embed a document twice does no harm."""

# Seconds before a call is tried again, each a fifth more or less: 3.3 in all, in which a server restarts.
_FIRST_WAIT, _LONGEST_WAIT, _GROWTH, _JITTER = 0.1, 2.0, 3.0, 0.2

_SERVICE_CONFIG = {
    "methodConfig": [
        {
            # Not EmbedStream, which is resumed where it broke, nor health, which is asked for the moment.
            "name": [{"service": SERVICE, "method": method} for method in ("Embed", "GetModel")],
            "retryPolicy": {
                # gRPC takes no more than five.
                "maxAttempts": 5,
                "initialBackoff": f"{_FIRST_WAIT}s",
                "maxBackoff": f"{_LONGEST_WAIT}s",
                "backoffMultiplier": _GROWTH,
                "retryableStatusCodes": sorted(RETRIED),
            },
        }
    ],
    # One of two servers may fail every call. Beyond that, and a burst of 500, a failure is the answer, so that callers
    # at most double the load that a fleet cannot bear.
    "retryThrottling": {"maxTokens": 1000, "tokenRatio": 1},
}

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # A request that is larger than this is not tried again; the default of 256 KiB is less than a long batch.
    ("grpc.per_rpc_retry_buffer_size", 5 * 2**20),
    # All pods behind a headless Service, not the first that answers.
    ("grpc.lb_policy_name", "round_robin"),
    # A server that comes up is noticed within a second, however long it was away.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A connection on which nothing arrives is probed, and given up well within a call's timeout. The second number is
    # also how long sent bytes may stay without TCP's acknowledgement.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)


def waits(total: float) -> Iterator[float]:
    """Seconds to wait before each further try, as gRPC does for calls, until `total` is used up."""
    wait = _FIRST_WAIT
    while total > 0:
        yield wait * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  no secret
        total -= wait
        wait = min(_GROWTH * wait, _LONGEST_WAIT)
