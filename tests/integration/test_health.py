"""grpc.health.v1 of a real server."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from paravec_model.artifact import Artifact

from ..calls import SERVICE, connect
from ..servers import PATIENCE, Server, running


def test_health_answers_for_server_and_service(channel: grpc.Channel) -> None:
    """The empty name and the service's name are SERVING; an unknown name is NOT_FOUND."""
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE):
        status = health.Check(health_pb2.HealthCheckRequest(service=name)).status
        assert status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_watches_that_open_and_close_do_not_block_checks(server: Server, channel: grpc.Channel) -> None:
    """While clients open and close health watches all the time, a check is answered."""
    asked = health_pb2.HealthCheckRequest(service=SERVICE)

    def come_and_go() -> None:
        with connect(server.target) as own:
            for _ in range(100):
                watched = health_pb2_grpc.HealthStub(own).Watch(asked)
                next(watched)
                watched.cancel()

    threads = [threading.Thread(target=come_and_go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    answer = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=PATIENCE)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_calls_without_a_message_do_not_block_health_checks(artifact: Artifact) -> None:
    """With many calls that never send their message, a health check is answered."""
    with running(artifact.path, "--max-concurrent-rpcs", "1") as server:
        with grpc.insecure_channel(server.target) as channel:
            hold = threading.Event()

            def nothing() -> Iterator[bytes]:
                hold.wait(PATIENCE)
                yield b""

            embed: Any = channel.stream_unary(f"/{SERVICE}/Embed")
            calls = [embed.future(nothing()) for _ in range(40)]
            asked = health_pb2.HealthCheckRequest(service=SERVICE)
            answer = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=PATIENCE)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            hold.set()
            assert all(call.exception(PATIENCE) is not None for call in calls)
