"""The operations port of real servers: probes as a kubelet's, whatever the gRPC port speaks."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc
from paravec_model.artifact import Artifact
from paravec_server.settings import Settings
from paravec_server.telemetry.counters import DRAINING, SERVING, SharedCounters
from paravec_server.telemetry.liveness import liveness_problem, readiness_problem

from ..scrapes import Scrape, address_of
from ..servers import PATIENCE, Server, command, running, until

FLAGS = ("--operations-listen", "127.0.0.1:0")


def get(address: str, path: str) -> tuple[int, str]:
    """Status and content."""
    connection = HTTPConnection(address, timeout=PATIENCE)
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer.status, content


@pytest.mark.parametrize("transport", ["plain", "tls", "expired", "expired, and callers need certificates", "unix"])
def test_probes_do_not_care_what_the_other_port_speaks(artifact: Artifact, tmp_path: Path, transport: str) -> None:
    """Live and ready, without a certificate, and whatever has become of the server's."""
    authority, flags = trustme.CA(), list(FLAGS)
    if transport == "unix":
        flags += ["--listen", f"unix:{tmp_path}/socket"]
    elif transport != "plain":
        end = datetime(2020, 1, 1, tzinfo=UTC) if "expired" in transport else None
        issued = authority.issue_cert("localhost", not_before=datetime(2019, 1, 1, tzinfo=UTC), not_after=end)
        issued.private_key_pem.write_to_path(tmp_path / "key")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "crt")
        authority.cert_pem.write_to_path(tmp_path / "ca")
        flags += ["--tls-cert", f"{tmp_path}/crt", "--tls-key", f"{tmp_path}/key"]
        flags += ["--tls-client-ca", f"{tmp_path}/ca"] if "callers" in transport else []
    with running(artifact.path, *flags, ready=False) as server:
        server.wait_for("serving")
        assert get(address_of(server), "/livez") == (200, "ok\n")
        assert get(address_of(server), "/readyz") == (200, "ok\n")
        assert server.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_is_there_before_the_model(artifact: Artifact, tmp_path: Path, workers: str) -> None:
    """While the model's directory cannot be read yet: alive, not ready, and metrics without the model."""
    model = tmp_path / "model"
    model.mkdir()
    # The manifest is a FIFO: it is read once it is written.
    os.mkfifo(model / "manifest.json")
    flags = (*FLAGS, "--workers", workers)
    with subprocess.Popen(command(model, *flags), stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            address = address_in(process.stderr.readline())
            assert get(address, "/livez") == (200, "ok\n")
            assert get(address, "/readyz") == (503, "starting: the model is not loaded yet\n")
            told = Scrape(address)
            assert "paravec_model_info" not in told.labels()
            assert told("paravec_workers", state="serving") == 0
        finally:
            process.kill()


def address_in(line: str) -> str:
    """Where the event `operations` says that it is."""
    event = json.loads(line)
    assert event["event"] == "operations"
    return f"127.0.0.1:{event['port']}"


def test_of_several_workers_one_that_serves_is_enough(artifact: Artifact) -> None:
    """Ready with the first; one that hangs turns liveness red, and readiness stays."""
    with running(artifact.path, *FLAGS, "--workers", "2", "--hang-seconds", "1") as server:
        address = address_of(server)
        assert get(address, "/readyz")[0] == 200
        until(lambda: Scrape(address)("paravec_workers", state="serving") == 2)
        assert any(name == "paravec_model_info" for name in Scrape(address).labels())
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGSTOP)
        until(lambda: get(address, "/livez") == (503, "a worker hangs\n"))
        assert get(address, "/readyz")[0] == 200
        # It is replaced.
        until(lambda: get(address, "/livez")[0] == 200)
        assert server.stop() == 0


HANGING = (
    "import signal, time; signal.signal(signal.SIGUSR1, lambda *_: time.sleep(600));"
    "from paravec_server.cli import main; main()"
)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_main_thread_that_hangs_is_told(artifact: Artifact, workers: str) -> None:
    """The process that serves, and the one that looks after those that do: the port's own threads tell of it."""
    flags = command(artifact.path, *FLAGS, "--hang-seconds", "1")[3:]
    arguments = [sys.executable, "-c", HANGING, *flags, "--workers", workers]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        try:
            server = Server(process)
            server.wait_for("serving")
            address = address_of(server)
            until(lambda: get(address, "/livez")[0] == 200)
            process.send_signal(signal.SIGUSR1)
            until(lambda: get(address, "/livez")[0] == 503)
        finally:
            process.kill()
            server.wait()


def test_a_drain_is_not_ready_and_alive(artifact: Artifact) -> None:
    """For longer than a hang is borne: while calls are finished the main thread waits for them."""
    with running(artifact.path, *FLAGS, "--hang-seconds", "0.5") as server:
        address, free = address_of(server), threading.Event()

        def requests() -> Iterator[pb.EmbedStreamRequest]:
            yield pb.EmbedStreamRequest(document=pb.Document(text="fire"))
            free.wait(PATIENCE)

        with grpc.insecure_channel(server.target) as channel:
            stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            next(stream := stub.EmbedStream(requests()))
            server.process.terminate()
            until(lambda: get(address, "/readyz") == (503, "draining: the server is stopping\n"))
            free.wait(1.5)  # three times what a hang may take
            assert get(address, "/livez")[0] == 200
            free.set()
            assert not list(stream)
        assert server.wait() == 0


def test_what_is_told_of_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alive until the first sign of life is awaited in vain; ready where one serves and does not hang."""
    figures, settings = SharedCounters(2), Settings(model=Path("m"), hang_seconds=10, drain_seconds=30)
    monkeypatch.setattr("time.monotonic", lambda: 1000.0)
    one, other = figures.workers
    assert liveness_problem(figures, settings) == ""
    assert readiness_problem(figures, settings).startswith("starting")
    one["heartbeat"], one["state"] = 989.0, SERVING
    assert liveness_problem(figures, settings) == "no progress for more than 10 s"
    assert readiness_problem(figures, settings) == "no progress for more than 10 s"
    other["heartbeat"], other["state"] = 991.0, SERVING
    assert readiness_problem(figures, settings) == ""
    one["state"] = other["state"] = DRAINING
    assert liveness_problem(figures, settings) == ""
    assert readiness_problem(figures, settings).startswith("draining")
    one["heartbeat"] = 964.0
    assert liveness_problem(figures, settings) == "no progress for more than 35 s"
