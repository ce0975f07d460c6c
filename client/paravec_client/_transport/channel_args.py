"""Channel arguments: load balancing, health checks, reconnection and keepalive."""

import json
from typing import Any

from ..config import ClientConfig


def channel_options(config: ClientConfig, healthy_service: str | None) -> list[tuple[str, Any]]:
    """Channel arguments, by the names of gRPC's channel_arg_names.h.

    With `healthy_service` the channel calls only servers where this service is healthy. gRPC keeps a stream of
    grpc.health.v1's Watch open to each server for this. A server without Watch counts as healthy.
    """
    # Calls go to all pods behind a headless Service in turn, not only to the first that answers.
    service_config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if healthy_service:
        service_config["healthCheckConfig"] = {"serviceName": healthy_service}
    time_ms, timeout_ms = (round(1000 * seconds) for seconds in (config.keepalive.time, config.keepalive.timeout))
    return [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.service_config", json.dumps(service_config)),
        # A service config from DNS would override ours.
        ("grpc.service_config_disable_resolution", 1),
        # Connects to a restarted server within a second, however long it was down.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # A dead connection is closed well within the timeout of a call. The keepalive timeout is also TCP_USER_TIMEOUT.
        ("grpc.keepalive_time_ms", time_ms),
        ("grpc.keepalive_timeout_ms", timeout_ms),
        # Without it, gRPC 1.85 waits a minute for the answer to a ping, whatever the keepalive timeout.
        ("grpc.http2.ping_timeout_ms", timeout_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
