"""Several workers behind one port: shared, replaced when they die or hang, and stopped together."""

import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from paravec.inference.v2 import open_inference_pb2 as oip
from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder
from paravec_server.services.open_inference import SERVICE

from .. import calls
from ..calls import connect, stub_of
from ..scrapes import address_of
from ..servers import PATIENCE, Server, command, failure, running, until

TEXT = "The fire in Sydney spread"


def embed(server: Server) -> Any:
    """The vector of TEXT, over a new connection."""
    with stub_of(server.target) as stub:
        return np.array(stub.Embed(calls.embed(TEXT), timeout=PATIENCE).embeddings[0].vector, np.float32)


def answers_within(server: Server, seconds: float) -> bool:
    """Whether a probe as the kubelet's finds the process alive."""
    with connect(server.target) as connection:
        stub: Any = health_pb2_grpc.HealthStub(connection)
        try:
            status = stub.Check(health_pb2.HealthCheckRequest(), timeout=seconds).status
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            assert error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
            return False
        return bool(status == health_pb2.HealthCheckResponse.SERVING)


def live(server: Server) -> bool | None:
    """ServerLive of the Open Inference Protocol; None if there is no answer."""
    with connect(server.target) as connection:
        ask: Any = connection.unary_unary(
            f"/{SERVICE}/ServerLive", response_deserializer=oip.ServerLiveResponse.FromString
        )
        try:
            return bool(ask(b"", timeout=1.0).live)
        except grpc.RpcError:
            return None


@pytest.fixture
def pair(artifact: Artifact) -> Iterator[Server]:
    """A server of two workers, both listening."""
    flags = ("--workers", "2", "--log-level", "debug", "--hang-seconds", "1")
    with running(artifact.path, *flags) as server:
        server.wait_for("listening")
        yield server
        assert server.stop() == 0, server.log


def workers(server: Server) -> list[int]:
    """The workers' process ids."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def test_workers_answer_with_the_same_bits(pair: Server, encoder: Encoder) -> None:
    """Connections are spread over the workers, which all give the same vectors."""
    expected = encoder.encode([encoder.tokenize(TEXT)]).vectors[0]
    answered: set[int] = set()
    while len(answered) < 2:
        assert np.array_equal(embed(pair), expected)
        answered.add(pair.wait_for("call")["worker"])


def test_metrics_sum_all_workers(artifact: Artifact) -> None:
    """One address exposes the counters of every worker, including one that died."""
    flags = ("--workers", "2", "--operations-listen", "127.0.0.1:0")
    with running(artifact.path, *flags, ready=False) as server:
        address = address_of(server)

        def value(sample: str) -> float:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE) as page:
                lines = page.read().decode().splitlines()
            return float(next(line.split()[-1] for line in lines if line.startswith(sample)))

        until(lambda: value('paravec_workers{state="serving"}') == 2)
        for _ in range(20):
            embed(server)
        assert value('paravec_calls_total{code="OK",method="Embed"}') == 20
        os.kill(workers(server)[0], signal.SIGKILL)
        until(lambda: value("paravec_worker_restarts_total") == 1)
        until(lambda: value('paravec_workers{state="serving"}') == 2)
        assert value('paravec_calls_total{code="OK",method="Embed"}') == 20


def test_a_killed_worker_is_replaced(pair: Server) -> None:
    """While it restarts, new connections reach the other worker and calls with retries do not fail."""
    victim, other = workers(pair)
    with EmbeddingClient(pair.target) as client:
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in workers(pair))
        while len(workers(pair)) < 2:
            assert len(embed(pair))
            assert client.health() == "SERVING"
        pair.wait_for("listening")
        assert client.health() == "SERVING"
    assert other in workers(pair)


def test_a_hanging_worker_fails_liveness_and_is_replaced(pair: Server) -> None:
    """Liveness fails for all while one worker hangs, and the worker is replaced."""
    victim, _ = workers(pair)
    os.kill(victim, signal.SIGSTOP)
    # Which of them is reached is the kernel's choice, and the one that stands still answers nothing.
    until(lambda: not answers_within(pair, 1.0))
    until(lambda: live(pair) is False)
    pair.wait_for("worker hangs")
    pair.wait_for("listening")
    until(lambda: answers_within(pair, PATIENCE))
    assert victim not in workers(pair)


def test_no_worker_outlives_its_parent(artifact: Artifact) -> None:
    """Not even when that is killed."""
    with running(artifact.path, "--workers", "2") as server:
        server.wait_for("listening")
        pids = workers(server)
        server.process.kill()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def ends(model: Path, *flags: str) -> tuple[int, list[str]]:
    """Exit code, and the lines that are no log, of a server that cannot begin."""
    code, lines = failure(*command(model, *flags))
    return code, [line for line in lines if line.startswith("paravec-server:")]


def test_a_wrong_model_is_reported_once(tmp_path: Path) -> None:
    """A model that cannot be served is reported by one worker and not by each."""
    code, lines = ends(tmp_path / "none", "--workers", "3")
    assert code == 1
    assert len(lines) == 1
    assert "none" in lines[0]


def test_several_workers_need_a_tcp_port(artifact: Artifact, tmp_path: Path) -> None:
    """Several workers on a Unix socket are refused."""
    code, lines = ends(artifact.path, "--workers", "2", "--listen", f"unix:{tmp_path}/socket")
    assert code == 2
    assert "PARAVEC_WORKERS" in lines[0]
    assert len(lines) == 1


@pytest.mark.parametrize("others", ["1", "2"])
def test_a_port_is_not_shared_with_another_server(pair: Server, artifact: Artifact, others: str) -> None:
    """Half of the connections would get another model."""
    code, lines = ends(artifact.path, "--workers", others, "--listen", pair.target)
    assert code == 1
    assert pair.target in lines[0]
    assert len(lines) == 1


def test_a_port_in_use_is_refused(artifact: Artifact) -> None:
    """A port that any program listens on is refused with one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        assert ends(artifact.path, "--workers", "2", "--listen", target)[0] == 1
