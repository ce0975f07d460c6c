"""Channel arguments: load balancing, health checks, reconnection and keepalive."""

import json
from typing import Any

from ..config import ClientConfig


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
