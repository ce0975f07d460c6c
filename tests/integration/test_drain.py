"""How a real server stops: signals, and calls in flight."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from paravec.v1 import embedding_pb2 as pb
from paravec_model.artifact import Artifact

from ..calls import SERVICE, connect, stub_of, text, tokens
from ..servers import PATIENCE, command, running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_and_sigint_drain(artifact: Artifact, number: int) -> None:
    """Readiness ends at once, the call in progress is finished, and the exit code is 0."""
    with running(artifact.path) as server, stub_of(server.target) as stub, connect(server.target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watched = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        slow = pb.EmbedRequest(documents=[tokens(*["fire"] * 2000)], options=pb.InferenceOptions(epochs=1000))
        # The first answer tells that the call is in progress.
        hold = threading.Event()

        def requests() -> Iterator[pb.EmbedStreamRequest]:
            yield pb.EmbedStreamRequest(document=text("fire"))
            hold.wait(PATIENCE)
            yield pb.EmbedStreamRequest(document=slow.documents[0], options=pb.InferenceOptions(epochs=3))

        stream = stub.EmbedStream(requests())
        next(stream)
        server.process.send_signal(number)
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        hold.set()
        assert next(stream).HasField("embedding")
        assert list(stream) == []
        assert server.wait() == 0
    assert server.wait_for("draining")["reason"] == signal.Signals(number).name
    assert server.wait_for("stopped")["drained"] is True


def test_calls_during_a_drain_are_unavailable(artifact: Artifact) -> None:
    """A caller that is late hears UNAVAILABLE, so that it asks another server, and no call that was taken on fails."""
    with running(artifact.path) as server, stub_of(server.target) as stub:
        codes: list[grpc.StatusCode] = []

        def call() -> None:
            while True:
                try:
                    stub.Embed(pb.EmbedRequest(documents=[text("fire")] * 20), timeout=PATIENCE)
                except grpc.RpcError as error:
                    codes.append(error.code())
                    return

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert stub.Embed(pb.EmbedRequest(documents=[text("fire")]), timeout=PATIENCE)
        assert server.stop() == 0
        for thread in threads:
            thread.join(PATIENCE)
    assert codes == [grpc.StatusCode.UNAVAILABLE] * 8


def test_a_drain_ends_after_drain_seconds(artifact: Artifact) -> None:
    """A call that outlasts drain_seconds is cut off, and the exit code is still 0."""
    with running(artifact.path, "--drain-seconds", "0.3") as server:
        with stub_of(server.target) as stub:
            stream = stub.EmbedStream(endless())
            next(stream)
            assert server.stop() == 0
            with pytest.raises(grpc.RpcError):
                list(stream)


def endless() -> Iterator[pb.EmbedStreamRequest]:
    """A stream that never ends."""
    while True:
        yield pb.EmbedStreamRequest(document=text("fire"))
        time.sleep(0.01)  # a slow sender; nothing waits for this


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_start_ends_the_server(tmp_path: Path, number: int) -> None:
    """A server that waits for its model's files exits with 0 on a signal."""
    os.mkfifo(tmp_path / "manifest.json")
    arguments = command(tmp_path, "--operations-listen", "127.0.0.1:0")
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            assert "operations" in process.stderr.readline()
            process.send_signal(number)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
