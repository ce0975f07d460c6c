"""Liveness and readiness on the operations port of real servers."""

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import pytest
import trustme

from paravec_model.artifact import Artifact
from paravec_server.settings import Settings
from paravec_server.telemetry.counters import DRAINING, SERVING, SharedCounters
from paravec_server.telemetry.liveness import liveness_problem, readiness_problem
from paravec_server.telemetry.operations import serve_operations

from ..calls import one_then_wait, stub_of
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
def test_probes_work_whatever_the_grpc_port_speaks(artifact: Artifact, tmp_path: Path, transport: str) -> None:
    """/livez and /readyz answer in plain HTTP when the gRPC port is a Unix socket, uses TLS or has an expired
    certificate."""
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
def test_the_operations_port_opens_before_the_model_is_loaded(artifact: Artifact, tmp_path: Path, workers: str) -> None:
    """While the model's folder is not readable yet, the server is live, not ready, and exposes metrics."""
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


def test_a_page_that_fails_is_a_500_without_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the path and the type of the error; the next request is answered."""

    def fail() -> str:
        raise ValueError("secret")

    server = serve_operations("127.0.0.1:0", fail, lambda: "", lambda _: ("text/plain", b""))
    address = f"127.0.0.1:{server.server_port}"
    assert get(address, "/livez") == (500, "failed\n")
    assert get(address, "/readyz") == (200, "ok\n")
    server.close()
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "secret" not in record.getMessage() + str(vars(record))


def address_in(line: str) -> str:
    """Where the event `operations` says that it is."""
    event = json.loads(line)
    assert event["event"] == "operations"
    return f"127.0.0.1:{event['port']}"


def test_one_serving_worker_is_enough_for_readiness(artifact: Artifact) -> None:
    """The server is ready with its first worker; a hanging worker fails liveness and not readiness."""
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
def test_a_hanging_main_thread_fails_liveness(artifact: Artifact, workers: str) -> None:
    """A hanging main thread, of a serving process or of the supervisor, fails liveness."""
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


def test_a_draining_server_is_live_and_not_ready(artifact: Artifact) -> None:
    """During a drain longer than the limit for a hang, the server stays live and is not ready."""
    with running(artifact.path, *FLAGS, "--hang-seconds", "0.5") as server:
        address, free = address_of(server), threading.Event()
        with stub_of(server.target) as stub:
            next(stream := stub.EmbedStream(one_then_wait(free)))
            server.process.terminate()
            until(lambda: get(address, "/readyz") == (503, "draining: the server is stopping\n"))
            free.wait(1.5)  # three times what a hang may take
            until(lambda: get(address, "/livez")[0] == 200)
            free.set()
            assert not list(stream)
        assert server.wait() == 0


def test_liveness_and_readiness_follow_the_workers_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Liveness fails when a worker's heartbeat is late, and readiness needs a worker that serves and does not hang."""
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
