"""A running server survives hostile clients, full disks and signals, or ends cleanly."""

import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc
from paravec_client import EmbeddingClient, InferenceOptions
from paravec_model.artifact import Artifact

from ..calls import connect, stub_of
from ..http2 import ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, frames, request
from ..scrapes import Scrape, address_of
from ..servers import PATIENCE, Server, command, running, stock_retries, until

ROOT = Path(__file__).parents[2]
BEGIN = PREFACE + frame(SETTINGS)
"""How a connection of HTTP/2 begins, with empty settings."""

ACKNOWLEDGED = frame(SETTINGS, b"", ACK)
"""Without it the server closes a connection after five seconds, whatever `peer-seconds` says."""

# Nor do these connections answer pings, for which the server closes them after forty.
_BEFORE_KEEPALIVE = 25

EMBED_BLOCK = request("/paravec.v1.EmbeddingService/Embed", secure=False)
EMBED_HEADERS = frame(HEADERS, EMBED_BLOCK, END_HEADERS, stream=1)


def open_socket(server: Server) -> socket.socket:
    """A TCP connection."""
    return socket.create_connection(("127.0.0.1", server.port), PATIENCE)


def takes_on(server: Server) -> bool:
    """Whether a batch, which needs a place and a slot, is answered."""
    return serves(server, 9)


def serves(server: Server, documents: int = 1) -> bool:
    """Whether a call on a new connection is answered."""
    with connect(server.target) as channel:
        stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        request = pb.EmbedRequest(documents=[pb.Document(text="fire")] * documents)
        return len(stub.Embed(request, timeout=PATIENCE, wait_for_ready=True).embeddings) == documents


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        bytes(range(256)) * 64,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 500,
        BEGIN + b"\xff" * 5000,
        PREFACE[:20],
        BEGIN + frame(HEADERS, b"\xff\xff\xff\xff", END_HEADERS, stream=1),
    ],
    ids=["http1", "bytes", "tls", "frames", "half a preface", "headers"],
)
def test_garbage_on_the_port_does_not_affect_other_clients(server: Server, sent: bytes) -> None:
    """After bytes that are not HTTP/2, on connections left open or closed, other clients are answered."""
    with open_socket(server) as one, open_socket(server) as other:
        for connection in (one, other):
            with suppress(OSError):
                connection.sendall(sent)
        one.close()
        assert serves(server)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00\x00", b"\x00\x00\x00\x10\x00" + b"a" * 100],
    ids=["no message", "half a length", "half a message"],
)
def test_incomplete_requests_take_no_place_and_are_reset(artifact: Artifact, data: bytes) -> None:
    """Calls whose message never completes block no other client and are reset after `peer-seconds`."""
    with running(artifact.path, "--max-concurrent-rpcs", "2", "--peer-seconds", "1") as server:
        with ExitStack() as connections:
            half = [connections.enter_context(open_socket(server)) for _ in range(50)]
            for connection in half:
                message = frame(DATA, data, stream=1) if data else b""
                connection.sendall(BEGIN + ACKNOWLEDGED + EMBED_HEADERS + message)
            assert takes_on(server)
            assert serves(server)
            for connection in half:
                connection.settimeout(_BEFORE_KEEPALIVE)
                assert (RST_STREAM, 1) in ((kind, stream) for kind, _, stream, _ in frames(connection))
        assert server.stop() == 0
        assert "Traceback" not in server.log


def test_incomplete_health_checks_do_not_block_probes(server: Server) -> None:
    """A hundred health checks without a message do not make a probe fail."""
    headers = request("/grpc.health.v1.Health/Check", secure=False)
    with ExitStack() as connections:
        for _ in range(100):
            connection = connections.enter_context(open_socket(server))
            connection.sendall(BEGIN + frame(HEADERS, headers, END_HEADERS, stream=1))
        with connect(server.target) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            for _ in range(20):
                assert stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE, wait_for_ready=True).status == 1


@pytest.mark.parametrize("documents", [1, 60], ids=["short text", "batch"])
def test_unread_responses_do_not_block_other_clients(artifact: Artifact, documents: int) -> None:
    """With responses that a client never reads, other clients are answered, and the calls are reset after `peer-
    seconds`."""
    request = pb.EmbedRequest(documents=[pb.Document(text="fire")] * documents).SerializeToString()
    data = b"\0" + len(request).to_bytes(4, "big") + request
    # SETTINGS_INITIAL_WINDOW_SIZE is 0: the caller is not ready for a single byte.
    no_window = frame(SETTINGS, b"\x00\x04" + bytes(4))
    streams = range(1, 40, 2)
    with running(artifact.path, "--max-concurrent-rpcs", "20", "--peer-seconds", "1") as server:
        with open_socket(server) as connection:
            connection.sendall(BEGIN + no_window + ACKNOWLEDGED)
            for stream in streams:
                headers = frame(HEADERS, EMBED_BLOCK, END_HEADERS, stream=stream)
                connection.sendall(headers + frame(DATA, data, END_STREAM, stream=stream))
            assert takes_on(server)
            assert serves(server)
            connection.settimeout(_BEFORE_KEEPALIVE)
            reset = (stream for kind, _, stream, _ in frames(connection) if kind == RST_STREAM)
            assert {next(reset) for _ in streams} == set(streams)
        assert server.stop() == 0


def test_a_blocked_log_pipe_does_not_block_the_server(artifact: Artifact) -> None:
    """With standard error full and unread, calls and the drain go on; log lines are dropped."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        target = f"127.0.0.1:{free.getsockname()[1]}"
    flags = ("--log-level", "debug", "--listen", target)
    with subprocess.Popen(command(artifact.path, *flags), stderr=subprocess.PIPE) as process:
        try:
            with EmbeddingClient(target) as client:
                client.wait_until_ready(PATIENCE)
                # A call is a line of about 150 bytes, a pipe holds 64 KiB.
                for _ in range(1000):
                    client.embed("fire")
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def test_slow_readers_do_not_block_other_clients(server: Server) -> None:
    """A stream whose answers are not read stops at flow control while others are answered, and finishes once it is
    read."""
    with connect(server.target) as channel:
        stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        requests = [pb.EmbedStreamRequest(document=pb.Document(text="fire"))] * 2000
        streams = [stub.EmbedStream(iter(requests), timeout=PATIENCE) for _ in range(4)]
        for _ in range(20):
            assert serves(server)
        assert [sum(1 for _ in stream) for stream in streams] == [2000] * 4


def test_two_thousand_idle_connections_do_not_block_calls(artifact: Artifact) -> None:
    """With 2,000 idle connections, calls are answered, and the server survives their end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 5000:
        pytest.skip(f"only {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 5000), hard))
    try:
        with running(artifact.path) as server:
            with ExitStack() as stack:
                for _ in range(2000):
                    stack.enter_context(open_socket(server)).sendall(BEGIN)
                assert serves(server)
            assert serves(server)
            assert server.stop() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_server_without_free_descriptors_serves_open_connections(artifact: Artifact) -> None:
    """Out of file descriptors, the server answers on open connections and accepts new ones when some are free again."""
    with running(artifact.path) as server, grpc.insecure_channel(server.target) as channel:
        stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        request = pb.EmbedRequest(documents=[pb.Document(text="fire")])
        assert stub.Embed(request, timeout=PATIENCE)
        pid = server.process.pid
        held = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (held + 20, held + 20))
        with ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(open_socket(server))
            for _ in range(20):
                assert stub.Embed(request, timeout=PATIENCE)
        assert serves(server)
        assert server.stop() == 0


KILLED = """
import sys
from paravec_client import EmbeddingClient, InferenceOptions
client = EmbeddingClient(sys.argv[1])
for _ in client.embed_stream((["fire"] * 2000 for _ in iter(int, 1)), InferenceOptions(epochs=int(sys.argv[2]))):
    print("answered", flush=True)
"""


def test_a_client_killed_in_mid_stream_frees_its_slot(artifact: Artifact) -> None:
    """After SIGKILL of a client with minutes of work in flight, the only slot serves the next call."""
    limits = ("--max-concurrent-rpcs", "1", "--threads", "1", "--max-epochs", "1000")
    with running(artifact.path, *limits) as server:
        for _ in range(3):
            program = [sys.executable, "-c", KILLED, server.target, "20"]
            with subprocess.Popen(program, stdout=subprocess.PIPE) as caller:
                assert caller.stdout
                assert caller.stdout.readline() == b"answered\n"
                caller.kill()
            # A batch, which takes the place and the slot.
            assert takes_on(server)
        assert server.stop() == 0


def test_abandoned_work_frees_its_slot(artifact: Artifact) -> None:
    """A long batch that was cancelled, or whose deadline passed, is stopped and frees the only compute slot."""
    heavy = pb.EmbedRequest(
        documents=[pb.Document(tokens=pb.TokenList(tokens=["fire"] * 2000))] * 200,
        options=pb.InferenceOptions(epochs=1000),
    )
    with running(artifact.path, "--threads", "1") as server:
        with stub_of(server.target) as stub:
            for n in range(6):
                call = stub.Embed.future(heavy, timeout=0.3 if n % 2 else PATIENCE)
                time.sleep(0.3)  # it computes now
                call.cancel()
                # A batch, for a short text does not wait for the slot. How soon: benchmarks/stops.py.
                assert takes_on(server)


def test_cancelled_work_stops_although_nobody_else_waits(artifact: Artifact) -> None:
    """A long batch that was cancelled ends at once; other calls would take its slot even if it went on."""
    heavy = pb.EmbedRequest(
        documents=[pb.Document(tokens=pb.TokenList(tokens=["fire"] * 2000))] * 200,
        options=pb.InferenceOptions(epochs=1000),
    )
    with running(artifact.path, "--operations-listen", "127.0.0.1:0") as server, stub_of(server.target) as stub:
        address = address_of(server)
        call = stub.Embed.future(heavy)
        until(lambda: Scrape(address)("paravec_calls_in_flight") == 1)
        time.sleep(0.3)  # it computes now
        call.cancel()
        until(lambda: Scrape(address)("paravec_calls_in_flight") == 0, 20)


def test_a_served_model_may_be_deleted_or_replaced_on_disk(artifact: Artifact, tmp_path: Path) -> None:
    """Vectors stay the same to the bit after the model's folder is deleted and replaced."""
    served = shutil.copytree(artifact.path, tmp_path / "model")
    with running(served) as server, EmbeddingClient(server.target) as client:
        texts = [f"fire in sydney {n}" for n in range(20)]
        before = client.embed("fire"), client.embed(texts, InferenceOptions(method="map"))
        shutil.rmtree(served)
        served.mkdir()
        (served / "manifest.json").write_text("{}")
        after = client.embed("fire"), client.embed(texts, InferenceOptions(method="map"))
        assert all(np.array_equal(b, a) for b, a in zip(before, after, strict=True))
        assert client.model().digest == artifact.manifest.digest
        assert server.stop() == 0


@pytest.mark.parametrize("stderr", ["full", "closed"])
def test_an_unwritable_log_does_not_stop_the_server(artifact: Artifact, tmp_path: Path, stderr: str) -> None:
    """With standard error on a full disk or closed, the server starts, answers and drains with exit code 0."""
    address = f"unix:{tmp_path}/socket"
    flags = ["--listen", address, "--log-level", "debug"]
    shell = {"full": 'exec "$@" 2>/dev/full', "closed": 'exec "$@" 2>&-'}[stderr]
    program = ["sh", "-c", shell, "sh", *command(artifact.path), *flags]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with EmbeddingClient(address) as client:
                client.wait_until_ready(PATIENCE)
                for _ in range(20):
                    client.embed("fire")
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


@pytest.mark.slow
def test_sigterm_at_any_moment_of_the_start_exits_cleanly(artifact: Artifact) -> None:
    """SIGTERM at any moment of the start ends the server with 0 and without a traceback."""
    for moment in range(20):
        with subprocess.Popen(command(artifact.path), stderr=subprocess.PIPE, text=True) as process:
            time.sleep(0.1 * moment)
            # Until Python runs our first line, the signal ends the process by itself.
            prepared = holds_or_handles_sigterm(process.pid)
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0 or (not prepared and process.returncode == -signal.SIGTERM), (moment, log)
        assert "Traceback" not in log


def holds_or_handles_sigterm(pid: int) -> bool:
    """Whether a process blocks SIGTERM for the moment or has a handler for it."""
    status = Path(f"/proc/{pid}/status").read_text()
    masks = re.findall(r"^Sig(?:Blk|Cgt):\t(\w+)$", status, re.MULTILINE)
    return any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in masks)


def test_sigterm_under_load_answers_or_refuses_with_unavailable(artifact: Artifact) -> None:
    """Calls to a server that stops are answered or end with UNAVAILABLE, which clients try elsewhere."""
    codes: set[str] = set()

    def call(stub: Any, over: threading.Event) -> None:
        while not over.is_set():
            try:
                stub.Embed(pb.EmbedRequest(documents=[pb.Document(text="fire")] * 9), timeout=PATIENCE)
            except grpc.RpcError as error:
                codes.add(error.code().name)

    for moment in range(3):
        with (
            running(artifact.path) as server,
            grpc.insecure_channel(server.target, stock_retries()) as channel,
        ):
            stub, over = embedding_pb2_grpc.EmbeddingServiceStub(channel), threading.Event()
            threads = [threading.Thread(target=call, args=(stub, over)) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(0.1 * moment)
            assert server.stop() == 0
            over.set()
            for thread in threads:
                thread.join(PATIENCE)
            assert "Traceback" not in server.log
    assert codes <= {"UNAVAILABLE"}


@pytest.mark.slow
def test_random_requests_cause_no_internal_error(artifact: Artifact) -> None:
    """Thousands of random and damaged requests cause no INTERNAL, no UNKNOWN and no crash."""
    assert part("fuzz", artifact, "--requests", "2500").startswith("2,500 requests")


@pytest.mark.slow
def test_a_short_soak_reports_no_faults(artifact: Artifact) -> None:
    """Ten seconds of the soak test report no faults and no growth of memory."""
    assert "faults: none" in part("soak", artifact, "--seconds", "10", "--growth", "0.2")


def part(name: str, artifact: Artifact, *flags: str) -> str:
    """The last line that a benchmark prints."""
    program = [sys.executable, str(ROOT / f"benchmarks/{name}.py"), "--model", str(artifact.path)]
    ran = subprocess.run([*program, *flags], capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.strip().splitlines()[-1]
