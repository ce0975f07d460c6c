"""The metrics of a server and of a supervisor, as Prometheus reads them."""

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics

from paravec.v1 import embedding_pb2 as pb
from paravec_model.artifact import Artifact
from paravec_server.settings import ListenError
from paravec_server.telemetry.counters import BUCKETS, COUNTED_METHODS, REASONS, TOTALS, SharedCounters
from paravec_server.telemetry.metrics import ServerInfo, metrics_page
from paravec_server.telemetry.operations import OperationsServer, serve_operations

from ..calls import embed, one_then_wait, stub_of
from ..scrapes import Scrape, address_of, scrape
from ..servers import PATIENCE, Server, command, failure, running, until

LIMITS = {
    "paravec_calls_in_flight": 2,
    "paravec_streams_in_flight": 4,
    "paravec_message_bytes_in_flight": 3,
    "paravec_work_in_flight_seconds": 0.5,
}
INFO = ServerInfo({"name": 'odd "name"\\', "version": "1"}, LIMITS)


@pytest.fixture(scope="module")
def measured(artifact: Artifact) -> Iterator[Server]:
    """A server with metrics."""
    with running(artifact.path, "--operations-listen", "127.0.0.1:0", "--max-documents", "8") as server:
        yield server


@pytest.fixture(scope="module")
def address(measured: Server) -> str:
    """The address of its operations port."""
    return address_of(measured)


@pytest.fixture
def stub(measured: Server) -> Iterator[Any]:
    """A stub of it."""
    with stub_of(measured.target) as stub:
        yield stub


def serve(figures: SharedCounters, address: str = "127.0.0.1:0") -> OperationsServer:
    """The operations port of a process that has no gRPC server."""
    return serve_operations(address, lambda: "", lambda: "", metrics_page(figures, INFO))


@contextmanager
def endpoint(figures: SharedCounters) -> Iterator[str]:
    """The address of metrics that this process serves."""
    served = serve(figures)
    try:
        yield f"127.0.0.1:{served.server_port}"
    finally:
        served.close()


def test_calls_and_their_work_are_counted(address: str, stub: Any) -> None:
    """A call adds to its method and status, to the histogram, and to documents, tokens and unknown tokens."""
    before = Scrape(address)
    stub.Embed(embed("the fire in sydney", "xyzzy"))
    list(stub.EmbedStream(iter([pb.EmbedStreamRequest(document=pb.Document(text="the fire"))])))
    stub.FindSimilar(pb.FindSimilarRequest(queries=[pb.Query(text="the fire")]))
    with pytest.raises(grpc.RpcError):
        stub.Embed(pb.EmbedRequest())
    # Bytes count until gRPC has said that the answer is sent.
    latest = time.monotonic() + PATIENCE
    while (after := Scrape(address))("paravec_message_bytes_in_flight") and time.monotonic() < latest:
        pass

    def rise(name: str, /, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    assert rise("paravec_calls_total", method="Embed", code="OK") == 1
    assert rise("paravec_calls_total", method="EmbedStream", code="OK") == 1
    assert rise("paravec_calls_total", method="Embed", code="INVALID_ARGUMENT") == 1
    assert rise("paravec_call_duration_seconds_count", method="Embed") == 2
    assert rise("paravec_call_duration_seconds_bucket", method="Embed", le="+Inf") == 2
    assert rise("paravec_call_duration_seconds_sum", method="Embed") > 0
    assert rise("paravec_documents_total") == 4
    assert rise("paravec_tokens_total") == 9
    assert rise("paravec_unknown_tokens_total") == 1
    assert 0 < rise("paravec_inference_seconds_total") < PATIENCE
    assert rise("paravec_calls_total", method="FindSimilar", code="OK") == 1
    gauges = ("paravec_calls_in_flight", "paravec_message_bytes_in_flight", "paravec_work_in_flight_seconds")
    assert not any(map(after, gauges))


def test_cancelled_and_late_calls_are_counted_by_their_status(address: str, stub: Any) -> None:
    """A cancelled stream counts as CANCELLED and one past its deadline as DEADLINE_EXCEEDED, and neither as OK."""
    before, waiting = Scrape(address), threading.Event()
    try:
        next(left := stub.EmbedStream(one_then_wait(waiting)))
        left.cancel()
        with pytest.raises(grpc.RpcError) as late:
            list(stub.EmbedStream(one_then_wait(waiting), timeout=0.3))
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

        def told(code: str) -> float:
            name, labels = "paravec_calls_total", {"method": "EmbedStream", "code": code}
            return Scrape(address)(name, **labels) - before(name, **labels)

        until(lambda: (told("CANCELLED"), told("DEADLINE_EXCEEDED")) == (1, 1))
        assert (told("OK"), told("CANCELLED"), told("DEADLINE_EXCEEDED")) == (0, 1, 1)
    finally:
        waiting.set()


def test_model_build_and_workers_are_exposed(address: str, measured: Server, artifact: Artifact) -> None:
    """Model, build, limits, workers and process metrics are exposed."""
    told = Scrape(address)
    manifest = artifact.manifest
    facts = {"name": manifest.name, "version": manifest.version, "digest": manifest.digest}
    assert told("paravec_model_info", **facts, algorithm="dbow", method="sgd") == 1
    assert {"version", "python", "grpcio"} <= told.labels()["paravec_build_info"]
    assert told("paravec_calls_in_flight_limit") == 4096
    assert told("paravec_workers", state="serving") == 1
    assert told("paravec_workers", state="stopped") == 0
    assert told("paravec_worker_restarts_total") == 0
    assert told("process_resident_memory_bytes", worker="0") > 2**20
    assert told("process_cpu_seconds_total", worker="0") > 0


def test_every_series_starts_at_zero(artifact: Artifact) -> None:
    """A new server exposes every method, code and reason at zero, so that rate() sees the first call."""
    with running(artifact.path, "--operations-listen", "127.0.0.1:0") as server:
        told = Scrape(address_of(server))
    for method in COUNTED_METHODS:
        for code in ("OK", "INTERNAL", "RESOURCE_EXHAUSTED"):
            assert told("paravec_calls_total", method=method, code=code) == 0
        assert told("paravec_call_duration_seconds_bucket", method=method, le="0.005") == 0
    overloaded = ("too_many_calls", "too_many_bytes", "too_much_work", "waited_too_long")
    for reason in (*overloaded, "loading", "draining", "credentials"):
        assert told("paravec_calls_refused_total", reason=reason) == 0


def test_refused_calls_have_a_reason(artifact: Artifact) -> None:
    """A call beyond the bound is counted by reason, and as a call with its status."""
    flags = ("--max-concurrent-rpcs", "1", "--operations-listen", "127.0.0.1:0")
    with running(artifact.path, *flags) as server, stub_of(server.target) as stub:
        free = threading.Event()
        next(held := stub.EmbedStream(one_then_wait(free)))
        with pytest.raises(grpc.RpcError):
            stub.Embed(embed(*["fire"] * 9))
        told = Scrape(address_of(server))
        free.set()
        assert not list(held)
    assert told("paravec_calls_refused_total", reason="too_many_calls") == 1
    assert told("paravec_calls_total", method="Embed", code="RESOURCE_EXHAUSTED") == 1
    assert told("paravec_calls_in_flight") == told("paravec_calls_in_flight_limit") == 1


def test_names_keep_prometheus_conventions(address: str) -> None:
    """Every metric has help, a fixed set of labels, base units and our prefix or process_; counters end in _total."""
    told = Scrape(address)
    for family in told.families:
        assert family.documentation.endswith("."), family.name
        assert family.name.startswith(("paravec_", "process_")), family.name
        assert not family.name.endswith(("_ms", "_milliseconds", "_mb", "_percent")), family.name
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name == family.name + "_total"
        sets = {frozenset(sample.labels) for sample in family.samples if not sample.name.endswith("_bucket")}
        assert len(sets) == 1, family.name
    assert len({family.name for family in told.families}) == len(told.families)
    assert len(told.samples) < 250


@pytest.mark.parametrize("name", [*TOTALS, *REASONS])
def test_every_counter_is_exported(name: str) -> None:
    """A counter that rises changes what a scrape returns."""
    counters = SharedCounters()
    page = metrics_page(counters, INFO)

    def samples() -> list[str]:
        return [line for line in page("")[1].decode().splitlines() if line.startswith("paravec_")]

    before = samples()
    counters.workers[0].add(name)
    assert samples() != before


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not installed")
def test_promtool_finds_nothing(address: str) -> None:
    """Prometheus' own linter agrees."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=scrape(address)[1], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_open_metrics_is_served_when_accepted(address: str) -> None:
    """A scraper that accepts OpenMetrics gets its content type and text."""
    kind, content = scrape(address, "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert "paravec_calls" in {family.name for family in read_open_metrics(content)}  # type: ignore[no-untyped-call]
    assert scrape(address, "text/plain;version=0.0.4")[0].startswith("text/plain; version=0.0.4")
    assert scrape(address, "application/openmetrics-text; version=x\x0b")[0].startswith("application/openmetrics-text")


def test_the_supervisor_exposes_the_sum_of_its_workers() -> None:
    """A supervisor sums its workers' counters, keeps those of one that ended, and counts it as stopped."""
    figures = SharedCounters(3)
    code = (
        "import os, sys, grpc; from paravec_server.telemetry.counters import *\n"
        "row = SharedCounters(3, int(sys.argv[1])).workers[int(sys.argv[2])]\n"
        "row.reset(os.getpid()); row['state'] = SERVING\n"
        "row.add('documents', 2); row['calls_in_flight'] = 4\n"
        "row.count_call('Embed', grpc.StatusCode.OK, 0.003); row.count_call('Embed', grpc.StatusCode.OK, 99)\n"
        "print(flush=True); sys.stdin.read()"
    )
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code, str(figures.fileno), str(number)],
                    pass_fds=[figures.fileno], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )
            for number in range(2)
        ]  # fmt: skip
        for worker in workers:
            assert worker.stdout
            worker.stdout.readline()
        address = stack.enter_context(endpoint(figures))
        told = Scrape(address)
        assert told("paravec_documents_total") == 4
        assert told("paravec_calls_in_flight") == 8
        assert told("paravec_calls_in_flight_limit") == 6
        assert told("paravec_calls_total", method="Embed", code="OK") == 4
        assert told("paravec_call_duration_seconds_bucket", method="Embed", le="0.005") == 2
        assert told("paravec_call_duration_seconds_bucket", method="Embed", le=str(BUCKETS[-1])) == 2
        assert told("paravec_call_duration_seconds_bucket", method="Embed", le="+Inf") == 4
        assert told("paravec_call_duration_seconds_sum", method="Embed") == pytest.approx(198.006)
        assert told("paravec_workers", state="serving") == 2
        assert told("paravec_workers", state="stopped") == 1
        for number in "01":
            assert told("process_resident_memory_bytes", worker=number) > 0
        assert told("paravec_model_info", **INFO.model) == 1

        workers[0].kill()
        workers[0].wait()
        figures.workers[0].add("restarts")
        told = Scrape(address)
        assert told("paravec_documents_total") == 4
        assert told("paravec_calls_in_flight") == 4
        assert told("paravec_workers", state="stopped") == 2
        assert told("paravec_worker_restarts_total") == 1
        workers[1].kill()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/metrics", 200), ("GET", "/metrics?name[]=%00&x=%ff", 200), ("GET", "/", 404), ("HEAD", "/x", 404),
        ("POST", "/metrics", 501), ("GET", "/" + "x" * 70_000, 414), ("BREW", "/metrics", 501),
    ],
)  # fmt: skip
def test_unusual_http_requests_get_their_status(address: str, method: str, path: str, status: int) -> None:
    """Other paths, methods and sizes get their status, and HEAD gets no content."""
    connection = HTTPConnection(address, timeout=PATIENCE)
    connection.request(method, path)
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == status
    assert not content or method != "HEAD"
    connection.close()


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00\x01", b"GET /metrics HTTP/9.9\r\n\r\n", b"GET /metrics\r\n", b"\r\n", b"",
             b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"GET / HTTP/1.1\r\na: " + b"b" * 70_000],
)  # fmt: skip
def test_invalid_http_ends_only_its_connection(address: str, measured: Server, junk: bytes) -> None:
    """Bytes that are no request, or too many headers, end their connection alone and are not logged."""
    before = measured.log
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(junk)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    assert Scrape(address)("paravec_workers", state="serving") == 1
    assert measured.log == before


def test_silent_http_connections_do_not_block_a_scrape() -> None:
    """With fifty silent connections a scrape is answered, and the number of threads stays bounded."""
    with ExitStack() as stack, endpoint(SharedCounters()) as address:
        host, _, port = address.rpartition(":")
        before = len(list(Path("/proc/self/task").iterdir()))
        for _ in range(50):
            connection = stack.enter_context(socket.create_connection((host, int(port)), PATIENCE))
            connection.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert "paravec_calls_total" in scrape(address)[1]
        assert len(list(Path("/proc/self/task").iterdir())) < before + 16


def drip(connection: socket.socket) -> None:
    """Send a byte; ConnectionError if the other side has gone."""
    connection.sendall(b"x")
    with suppress(TimeoutError):
        if not connection.recv(1):
            raise ConnectionResetError


def test_a_slow_http_request_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that sends a byte now and then is closed after its longest time."""
    monkeypatch.setattr("paravec_server.telemetry.operations._CONNECTION_SECONDS", 0.2)
    with endpoint(SharedCounters()) as address:
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), PATIENCE) as connection:
            connection.settimeout(0.05)
            latest = time.monotonic() + PATIENCE
            with pytest.raises(ConnectionError):  # noqa: PT012
                while time.monotonic() < latest:
                    drip(connection)


def test_a_taken_operations_port_is_one_clear_line(address: str, artifact: Artifact) -> None:
    """One line names the setting and the address, and the exit code is 1."""
    code, lines = failure(*command(artifact.path, "--operations-listen", address))
    assert code == 1
    wanted = f"paravec-server: --operations-listen (PARAVEC_OPERATIONS_LISTEN): cannot listen on {address}: "
    assert lines[-1].startswith(wanted)
    assert not any("Traceback" in line for line in lines)


@pytest.mark.parametrize("address", ["no.such.host.invalid:0", "192.0.2.1:0", "x" * 70 + ".invalid:1"])
def test_an_operations_address_of_another_host_is_an_error(address: str) -> None:
    """An address that does not resolve, or is not this machine's, is a ListenError."""
    with pytest.raises(ListenError, match="cannot listen on"):
        serve(SharedCounters(), address)


@pytest.mark.parametrize("host", ["", "[::]", "localhost"])
def test_the_operations_port_listens_on_ipv4_for_any_host(host: str) -> None:
    """An empty host, [::] and localhost all accept IPv4."""
    served = serve(SharedCounters(), f"{host}:0")
    assert "paravec_workers" in scrape(f"127.0.0.1:{served.server_port}")[1]
    served.close()
