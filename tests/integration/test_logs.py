"""What a real server logs, whoever calls it and wherever the log goes."""

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
from paravec.v1 import embedding_pb2_grpc
from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact
from paravec_server.rpc.admission import Admission
from paravec_server.rpc.dispatcher import Dispatcher
from paravec_server.settings import Settings
from paravec_server.telemetry.counters import SharedCounters
from paravec_server.telemetry.logs import _JsonFormatter, _TextFormatter

from ..http2 import END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame
from ..servers import PATIENCE, Server, command, running, until

GOOD = pb.EmbedRequest(documents=[pb.Document(text="fire")])


@pytest.fixture(scope="module")
def talkative(artifact: Artifact) -> Iterator[Server]:
    """A server that logs all it can."""
    with running(artifact.path, "--log-level", "debug") as server:
        yield server


@pytest.fixture
def stub(talkative: Server) -> Iterator[Any]:
    """A stub of it."""
    with grpc.insecure_channel(talkative.target) as channel:
        yield embedding_pb2_grpc.EmbeddingServiceStub(channel)


def trailers(call: Any) -> dict[str, Any]:
    """What came after the answer."""
    return dict(call.trailing_metadata())


def test_a_callers_id_comes_back(talkative: Server, stub: Any) -> None:
    """In the trailers of success and of failure, of a call and of a stream, and it is in the log."""

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


def test_a_call_without_an_id_that_fails_is_told_one(stub: Any) -> None:
    """So that it can be asked about; each has another."""
    ids = set()
    for _ in range(2):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Embed(pb.EmbedRequest())
        ids.add(trailers(caught.value)["x-request-id"])
    assert len(ids) == 2
    _, call = stub.Embed.with_call(GOOD)
    assert "x-request-id" not in trailers(call)


@pytest.mark.parametrize("name", ["x" * 129, "two words", "", " "])
def test_an_id_that_would_spoil_the_log_is_replaced(talkative: Server, stub: Any, name: str) -> None:
    """A long or empty one, or one with spaces."""
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


def test_a_client_that_checks_nothing_forges_nothing(talkative: Server, stub: Any) -> None:
    """Line ends, control characters and bytes of no encoding, sent as they are: every line of the log is one event."""
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
def test_what_grpc_would_not_even_carry_is_replaced_too(name: str) -> None:
    """Should it come through all the same."""
    settings, row = Settings(model=Path("m")), SharedCounters().workers[0]
    calls = Dispatcher({}, Admission(settings, row), row)
    told, back = calls._request_id([("x-request-id", name), ("x-request-id-bin", b"\xff")])
    assert told.isalnum()
    assert back == ()


def test_no_line_can_be_forged() -> None:
    """Whatever a fact holds, an event is one line, and nothing in it moves a terminal's cursor."""
    name = "a\n2030-01-01T00:00:00Z info stopped\r\x1b[2J\x85\u2028\u2029\x00\x0b\x0c"
    record = logging.makeLogRecord({"msg": "call\n", "levelname": "INFO", "facts": {"name": name}})
    for formatter in (_TextFormatter(), _JsonFormatter()):
        line = formatter.format(record)
        assert len(line.splitlines()) == 1
        assert line.isprintable()
    assert json.loads(line)["name"] == name


@pytest.mark.parametrize("sink", ["/dev/full", "closed", "nobody reads"])
@pytest.mark.parametrize("style", ["text", "json"])
def test_a_log_that_cannot_be_written_fails_no_call(artifact: Artifact, tmp_path: Path, sink: str, style: str) -> None:
    """A full disk, a closed standard error, a reader that is gone: calls are answered, and the stop is clean."""
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
