"""The log of a real server: request ids, injection, and output that cannot be written."""

import json
import logging
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from paravec.v1 import embedding_pb2 as pb
from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact
from paravec_server.rpc.admission import Admission
from paravec_server.rpc.dispatcher import Dispatcher
from paravec_server.settings import Settings
from paravec_server.telemetry.counters import SharedCounters
from paravec_server.telemetry.logs import _JsonFormatter, _TextFormatter

from ..calls import stub_of
from ..http2 import END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame
from ..servers import PATIENCE, Server, command, running, until

GOOD = pb.EmbedRequest(documents=[pb.Document(text="fire")])


@pytest.fixture(scope="module")
def talkative(artifact: Artifact) -> Iterator[Server]:
    """A server with --log-level debug."""
    with running(artifact.path, "--log-level", "debug") as server:
        yield server


@pytest.fixture
def stub(talkative: Server) -> Iterator[Any]:
    """A stub of it."""
    with stub_of(talkative.target) as stub:
        yield stub


def trailers(call: Any) -> dict[str, Any]:
    """The trailing metadata of a call."""
    return dict(call.trailing_metadata())


def test_the_callers_request_id_is_in_trailers_and_log(talkative: Server, stub: Any) -> None:
    """x-request-id comes back in the trailers of calls and streams, on success and failure, and is in the log."""

    def named(name: str) -> list[tuple[str, str]]:
        return [("x-request-id", name)]

    _, call = stub.Embed.with_call(GOOD, metadata=named("one"))
    assert trailers(call)["x-request-id"] == "one"
    with pytest.raises(grpc.RpcError) as caught:
        stub.Embed(pb.EmbedRequest(), metadata=named("two"))
    assert trailers(caught.value)["x-request-id"] == "two"
    stream = stub.EmbedStream(iter([pb.EmbedStreamRequest(document=GOOD.documents[0])]), metadata=named("three"))
    assert len(list(stream)) == 1
    assert trailers(stream)["x-request-id"] == "three"
    wanted = {"one": "OK", "two": "INVALID_ARGUMENT", "three": "OK"}
    while wanted:
        event = talkative.wait_for("call")
        assert wanted.pop(event["request_id"], event["code"]) == event["code"]


def test_a_failed_call_without_request_id_gets_one(stub: Any) -> None:
    """A failed call has a new request id in its trailers and in the log."""
    ids = set()
    for _ in range(2):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Embed(pb.EmbedRequest())
        ids.add(trailers(caught.value)["x-request-id"])
    assert len(ids) == 2
    _, call = stub.Embed.with_call(GOOD)
    assert "x-request-id" not in trailers(call)


@pytest.mark.parametrize("name", ["x" * 129, "two words", "", " "])
def test_an_unsuitable_request_id_is_replaced(talkative: Server, stub: Any, name: str) -> None:
    """A request id that is empty, too long or has spaces is replaced by a new one."""
    with pytest.raises(grpc.RpcError) as caught:
        stub.Embed(pb.EmbedRequest(), metadata=[("x-request-id", name)])
    told = trailers(caught.value)["x-request-id"]
    assert told != name
    assert told.isalnum()
    assert talkative.process.poll() is None


def raw(port: int, *more: tuple[bytes, bytes]) -> None:
    """A call of Embed with no message, by a client that checks no metadata; waits until the server has had its say."""
    headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/paravec.v1.EmbeddingService/Embed"),
               (b":authority", b"a"), (b"te", b"trailers"), (b"content-type", b"application/grpc"), *more]  # fmt: skip
    block = b"".join(b"\x00" + bytes([len(k)]) + k + bytes([len(v)]) + v for k, v in headers)
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(PREFACE + frame(SETTINGS) + frame(HEADERS, block, END_HEADERS | END_STREAM, stream=1))
        connection.settimeout(1)
        said = b""
        with suppress(TimeoutError, ConnectionError):
            while b"grpc-status" not in said and (part := connection.recv(65536)):
                said += part


def test_raw_metadata_cannot_forge_log_lines(talkative: Server, stub: Any) -> None:
    """With line ends and control characters sent raw in metadata, every line of the log is one event."""
    for name in (b"a\nb", b"a\r\n{}", b"\xff\xfe", b"\x00", b"\x1b[2J", b"good"):
        raw(talkative.port, (b"x-request-id", name))
    stub.Embed(GOOD, metadata=[("x-request-id", "last")])
    ids = []
    while "last" not in ids:
        ids.append(talkative.wait_for("call")["request_id"])
    assert "good" in ids
    assert all(re.fullmatch("[!-~]+", name) for name in ids)
    assert all(json.loads(line)["event"] for line in talkative.lines)


@pytest.mark.parametrize("name", ["a\nb", "a\r", "\x1b[2J", "ä", "\x00", "\u2028", "x\n" * 64])
def test_a_request_id_that_grpc_would_reject_is_replaced(name: str) -> None:
    """An id with characters that gRPC does not carry is replaced as well."""
    settings, row = Settings(model=Path("m")), SharedCounters().workers[0]
    calls = Dispatcher({}, Admission(settings, row), row)
    told, back = calls._request_id([("x-request-id", name), ("x-request-id-bin", b"\xff")])
    assert told.isalnum()
    assert back == ()


def test_log_values_cannot_forge_lines() -> None:
    """Whatever a value holds, an event is one line without control characters."""
    name = "a\n2030-01-01T00:00:00Z info stopped\r\x1b[2J\x85\u2028\u2029\x00\x0b\x0c"
    record = logging.makeLogRecord({"msg": "call\n", "levelname": "INFO", "facts": {"name": name}})
    for formatter in (_TextFormatter(), _JsonFormatter()):
        line = formatter.format(record)
        assert len(line.splitlines()) == 1
        assert line.isprintable()
    assert json.loads(line)["name"] == name


@pytest.mark.parametrize("sink", ["/dev/full", "closed", "nobody reads"])
@pytest.mark.parametrize("style", ["text", "json"])
def test_an_unwritable_log_fails_no_call(artifact: Artifact, tmp_path: Path, sink: str, style: str) -> None:
    """With a full disk, a closed standard error or a reader that is gone, calls are answered and the stop is clean."""
    path = tmp_path / "socket"
    arguments = command(artifact.path, "--listen", f"unix:{path}")
    arguments += ["--log-level", "debug", "--log-format", style]
    with ExitStack() as stack:
        if sink == "closed":
            arguments = ["sh", "-c", 'exec "$@" 2>&-', "sh", *arguments]
            process = stack.enter_context(subprocess.Popen(arguments))
        elif sink == "nobody reads":
            process = stack.enter_context(subprocess.Popen(arguments, stderr=subprocess.PIPE))
            assert process.stderr
            process.stderr.close()
        else:
            process = stack.enter_context(subprocess.Popen(arguments, stderr=stack.enter_context(open(sink, "w"))))
        stack.callback(process.kill)
        until(path.exists)
        with EmbeddingClient(f"unix:{path}") as client:
            client.wait_until_ready(PATIENCE)
            for _ in range(100):
                assert client.embed("fire").any()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
