"""A real server with real certificates and tokens, asked by stock gRPC channels and by our client."""

import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc
from paravec_client import ClientConfig, ConfigError, EmbeddingClient, Tls, UnauthenticatedError, UnavailableError
from paravec_model.artifact import Artifact
from paravec_server.rpc.admission import Admission
from paravec_server.rpc.call import RpcMethod
from paravec_server.rpc.dispatcher import Dispatcher
from paravec_server.rpc.server import RpcServer
from paravec_server.rpc.thread_pool import ElasticThreadPool
from paravec_server.security.bearer_tokens import BearerTokens
from paravec_server.settings import Settings
from paravec_server.telemetry.counters import SharedCounters

from ..servers import PATIENCE, Server, command, running, until

SERVICE = "paravec.v1.EmbeddingService"
OLD, NEW = "old-token-4c3b1f", "new-token-98fe0a"


class Pem:
    """An authority, and certificates of it as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.authority = folder, trustme.CA()
        folder.mkdir(exist_ok=True)
        self.ca = folder / "ca.crt"
        self.authority.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, year: int | None = None) -> tuple[Path, Path]:
        """A certificate for this machine, for now or for a year: its file, and its key's."""
        begin, end = (datetime(y, 1, 1, tzinfo=UTC) for y in (year, year + 1)) if year else (None, None)
        issued = self.authority.issue_cert("localhost", "127.0.0.1", common_name=name, not_before=begin, not_after=end)
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return cert, key


@pytest.fixture
def pem(tmp_path: Path) -> Pem:
    """An authority of this test."""
    return Pem(tmp_path / "pem")


def flags(cert: Path, key: Path, *more: str) -> list[str]:
    """Flags for a server with this certificate."""
    return ["--tls-cert", str(cert), "--tls-key", str(key), *more]


def secure(server: Server, pem: Pem, pair: tuple[Path, Path] | None = None) -> grpc.Channel:
    """A channel of its own connection, with a client's certificate if there is one."""
    cert, key = (file.read_bytes() for file in pair) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(pem.ca.read_bytes(), key, cert)
    return grpc.secure_channel(server.target, credentials, [("grpc.use_local_subchannel_pool", 1)])


def health(channel: grpc.Channel, **how: Any) -> int:
    """What the server says of its service."""
    asked = health_pb2.HealthCheckRequest(service=SERVICE)
    return int(health_pb2_grpc.HealthStub(channel).Check(asked, timeout=PATIENCE, **how).status)


def shown(server: Server) -> int:
    """The serial number of the certificate that the server shows now."""
    text = ssl.get_server_certificate(("127.0.0.1", server.port), timeout=PATIENCE)
    from cryptography import x509

    return x509.load_pem_x509_certificate(text.encode()).serial_number


def failure(*arguments: str) -> tuple[int, list[str]]:
    """Exit code and standard error of a server that cannot start."""
    ran = subprocess.run(list(arguments), capture_output=True, text=True, check=False, timeout=PATIENCE)
    return ran.returncode, ran.stderr.splitlines()


def bearer(token: str, scheme: str = "Bearer") -> tuple[tuple[str, str], ...]:
    """Metadata with a token."""
    return (("authorization", f"{scheme} {token}"),)


def test_tls_serves_those_who_trust_it_and_nobody_in_plain_text(artifact: Artifact, pem: Pem) -> None:
    """A stock channel and our client embed over TLS; plain text and another authority's followers get nothing."""
    with running(artifact.path, *flags(*pem.issue("one")), ready=False) as server:
        server.wait_for("serving")
        with secure(server, pem) as channel:
            stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            request = pb.EmbedRequest(documents=[pb.Document(text="fire")])
            assert stub.Embed(request, timeout=PATIENCE).embeddings[0].known_token_count == 1
        with EmbeddingClient(config=ClientConfig(server.target, tls=Tls(ca=pem.ca))) as client:
            assert client.embed("fire").any()
        stranger = Pem(pem.folder / "stranger")
        for config in (ClientConfig(server.target), ClientConfig(server.target, tls=Tls(ca=stranger.ca))):
            with EmbeddingClient(config=config) as client, pytest.raises(UnavailableError):
                client.embed("fire")
        assert server.stop() == 0


def test_the_name_is_compared(artifact: Artifact, pem: Pem) -> None:
    """A certificate for another name is refused, unless the caller says that it is that name it wants."""
    issued = pem.authority.issue_cert("vectors.example.com")
    cert, key = pem.folder / "named.crt", pem.folder / "named.key"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    with running(artifact.path, *flags(cert, key), ready=False) as server:
        server.wait_for("serving")
        with EmbeddingClient(config=ClientConfig(server.target, tls=Tls(ca=pem.ca))) as client:
            with pytest.raises(UnavailableError):
                client.embed("fire")
        named = Tls(ca=pem.ca, server_name="vectors.example.com")
        with EmbeddingClient(config=ClientConfig(server.target, tls=named)) as client:
            assert client.embed("fire").any()


def test_with_a_client_authority_callers_need_a_certificate(artifact: Artifact, pem: Pem) -> None:
    """One of that authority comes in; none, or another authority's, does not."""
    more = ("--tls-client-ca", str(pem.ca))
    with running(artifact.path, *flags(*pem.issue("one"), *more), ready=False) as server:
        server.wait_for("serving")
        caller = pem.issue("caller")
        with secure(server, pem, caller) as channel:
            assert health(channel) == health_pb2.HealthCheckResponse.SERVING
        with EmbeddingClient(config=ClientConfig(server.target, tls=Tls(pem.ca, *caller))) as client:
            assert client.embed("fire").any()
        for pair in (None, Pem(pem.folder / "stranger").issue("stranger")):
            with secure(server, pem, pair) as channel, pytest.raises(grpc.RpcError) as caught:
                health(channel)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_renewed_certificate_is_served_without_a_restart(artifact: Artifact, pem: Pem) -> None:
    """As a Secret is renewed, by turning a link; what is half written meanwhile leaves the old one, and a line."""
    mount = pem.folder / "mount"
    mount.mkdir()

    def turn(number: int, pair: tuple[Path, Path]) -> None:
        """The kubelet's way: a new folder, and the link `..data` renamed onto the old one."""
        (mount / f"..{number}").mkdir()
        for file, name in zip(pair, ("tls.crt", "tls.key"), strict=True):
            (mount / f"..{number}" / name).write_bytes(file.read_bytes())
        (mount / "..new").symlink_to(f"..{number}")
        (mount / "..new").rename(mount / "..data")

    one, two, three = (pem.issue(name) for name in ("one", "two", "three"))
    turn(1, one)
    for name in ("tls.crt", "tls.key"):
        (mount / name).symlink_to(f"..data/{name}")
    with running(artifact.path, *flags(mount / "tls.crt", mount / "tls.key"), ready=False) as server:
        server.wait_for("serving")
        with secure(server, pem) as channel:
            assert health(channel) == health_pb2.HealthCheckResponse.SERVING
            first = shown(server)
            turn(2, two)
            until(lambda: shown(server) != first)
            server.wait_for("certificate reloaded")
            second = shown(server)
            # The certificate of one, the key of another.
            turn(3, (three[0], two[1]))
            until(lambda: shown(server) == second and "certificate not reloaded" in server.log)
            assert "is not the key of" in server.wait_for("certificate not reloaded")["problem"]
            (mount / "..3/tls.crt").write_bytes(three[0].read_bytes()[:100])
            time.sleep(1.2)  # past the next look
            assert shown(server) == second
            turn(4, three)
            until(lambda: shown(server) not in (first, second))
            # A connection that was there all the time has seen nothing of it.
            assert health(channel) == health_pb2.HealthCheckResponse.SERVING
        with secure(server, pem) as channel:
            assert health(channel) == health_pb2.HealthCheckResponse.SERVING
        assert server.stop() == 0
        assert server.log.count("certificate not reloaded") == 2
        assert "PRIVATE KEY" not in server.log
        assert "Traceback" not in server.log


@pytest.mark.parametrize(("year", "problem"), [(2020, "expired"), (2090, "not yet")])
def test_a_certificate_out_of_its_time_is_warned_of(artifact: Artifact, pem: Pem, year: int, problem: str) -> None:
    """It may be renewed in a moment, or a clock be wrong: the server starts, and says so."""
    with running(artifact.path, *flags(*pem.issue("one", year)), ready=False) as server:
        server.stop()
        (line,) = [line for line in server.lines if "certificate invalid" in line]
        assert problem in line
        assert '"level": "warning"' in line


def test_half_a_configuration_is_one_clear_line(artifact: Artifact, pem: Pem, tmp_path: Path) -> None:
    """What is missing or wrong is named, with its setting, and the exit code is 2."""
    (cert, key), (_, other) = pem.issue("one"), pem.issue("two")
    gone, empty, junk = tmp_path / "gone", tmp_path / "empty", tmp_path / "junk"
    empty.write_text("# only a remark\n\n")
    junk.write_text(f"{OLD}\nnot one token\n")
    tls = flags(cert, key)
    for given, problem in (
        (["--tls-cert", str(cert)], "--tls-cert (PARAVEC_TLS_CERT) needs --tls-key (PARAVEC_TLS_KEY)"),
        (["--tls-key", str(key)], "--tls-key (PARAVEC_TLS_KEY) needs --tls-cert (PARAVEC_TLS_CERT)"),
        (["--tls-client-ca", str(pem.ca)], "--tls-client-ca (PARAVEC_TLS_CLIENT_CA) needs --tls-cert"),
        (flags(gone, key), f"--tls-cert (PARAVEC_TLS_CERT): {gone}: No such file or directory"),
        (flags(cert, tmp_path), f"--tls-key (PARAVEC_TLS_KEY): {tmp_path}: Is a directory"),
        (flags(cert, other), f"{other} is not the key of {cert}"),
        (flags(empty, key), f"{key} is not the key of {empty}, one of them is not a PEM file"),
        ([*tls, "--tls-client-ca", str(key)], f"--tls-client-ca (PARAVEC_TLS_CLIENT_CA): {key} holds no certificate"),
        (["--tokens-file", str(gone)], f"--tokens-file (PARAVEC_TOKENS_FILE): {gone}: No such file"),
        (["--tokens-file", str(empty)], f"--tokens-file (PARAVEC_TOKENS_FILE): {empty}: holds no token"),
        (["--tokens-file", str(junk)], "line 2 must be one token"),
    ):
        code, lines = failure(*command(artifact.path), *given)
        assert code == 2, (given, lines)
        assert len(lines) == 1
        assert problem in lines[0]
        assert OLD not in lines[0]


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """A file with a token and a remark."""
    file = tmp_path / "tokens"
    file.write_text(f"# of the search service\n\n  {OLD}   # since May\n")
    return file


def calls(channel: grpc.Channel, **how: Any) -> Iterator[Callable[[], Any]]:
    """Every method that needs a token."""
    stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
    document = pb.Document(text="fire")
    yield lambda: stub.Embed(pb.EmbedRequest(documents=[document]), timeout=PATIENCE, **how)
    yield lambda: stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE, **how)
    yield lambda: list(stub.EmbedStream(iter([pb.EmbedStreamRequest(document=document)]), timeout=PATIENCE, **how))
    asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
    yield lambda: list(reflection.ServerReflectionInfo(iter(asked), timeout=PATIENCE, **how))


def refusals(channel: grpc.Channel, **how: Any) -> set[tuple[grpc.StatusCode, str]]:
    """What every method says to a caller who must not come in."""
    found = set()
    for call in calls(channel, **how):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        error: Any = caught.value
        found.add((error.code(), error.details()))
    return found


def test_a_token_lets_in_and_nothing_tells_what_was_wrong(artifact: Artifact, tokens: Path) -> None:
    """All methods but health need it; none, a wrong one and a wrong scheme get the same answer; no log names it."""
    more = ("--tokens-file", str(tokens), "--log-level", "debug")
    with running(artifact.path, *more) as server, grpc.insecure_channel(server.target) as channel:
        for call in calls(channel, metadata=bearer(OLD)):
            assert call()
        for call in calls(channel, metadata=bearer(OLD, scheme="bearer")):
            assert call()
        wrong = [(), bearer(NEW), bearer(OLD[:-1]), bearer(f"{OLD}x"), bearer(""), bearer(OLD, scheme="Basic")]
        wrong += [bearer("#"), (("authorization", OLD),), (("authorization", ""),), (("x-authorization", OLD),)]
        assert set().union(*(refusals(channel, metadata=metadata) for metadata in wrong)) == {
            (grpc.StatusCode.UNAUTHENTICATED, "credentials are missing or wrong")
        }
        assert health(channel) == health_pb2.HealthCheckResponse.SERVING
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        watched.cancel()
        assert server.stop() == 0
        assert '"code": "UNAUTHENTICATED"' in server.log
        assert OLD not in server.log
        assert NEW not in server.log


def test_refusals_are_counted(tokens: Path) -> None:
    """Once each, under a reason of their own, also while the model still loads; nothing is then in flight."""
    row = SharedCounters().workers[0]
    admission = Admission(Settings(model=Path("m")), row)
    methods = {"/any/Method": RpcMethod(lambda *_: b"")}
    server = RpcServer(Dispatcher(methods, admission, row, BearerTokens(tokens)), ElasticThreadPool(2, "test"))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.unary_unary("/any/Method")
            codes = []
            for metadata in ((), bearer(NEW), bearer(OLD)):
                with pytest.raises(grpc.RpcError) as caught:
                    call(b"", metadata=metadata, timeout=PATIENCE)
                codes.append(caught.value.code())
    finally:
        server.stop(0).wait()
    assert codes == [grpc.StatusCode.UNAUTHENTICATED] * 2 + [grpc.StatusCode.UNAVAILABLE]
    assert (row["credentials"], row["loading"], row["calls_in_flight"]) == (2, 1, 0)


def test_tokens_are_rotated_without_a_restart(artifact: Artifact, tokens: Path) -> None:
    """Two at once, then the old one goes; a file that is emptied or gone leaves what was, and a line."""
    with running(artifact.path, "--tokens-file", str(tokens)) as server:
        with grpc.insecure_channel(server.target) as channel:

            def lets_in(token: str) -> bool:
                try:
                    next(calls(channel, metadata=bearer(token)))()
                except grpc.RpcError as error:
                    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
                    return False
                return True

            assert (lets_in(OLD), lets_in(NEW)) == (True, False)
            tokens.write_text(f"{OLD}\n{NEW}\n")
            until(lambda: lets_in(NEW))
            assert lets_in(OLD)
            fresh = tokens.with_name("fresh")
            fresh.write_text(NEW)
            fresh.replace(tokens)
            until(lambda: not lets_in(OLD))
            assert lets_in(NEW)
            for spoil in (lambda: tokens.write_text(""), tokens.unlink):
                spoil()
                kept = server.log.count("tokens not reloaded")
                until(lambda kept=kept: lets_in(NEW) and server.log.count("tokens not reloaded") > kept)  # type: ignore[misc]
            assert (lets_in(OLD), lets_in(NEW)) == (False, True)
        assert server.stop() == 0
        assert server.log.count("tokens reloaded") == 2
        assert server.log.count("tokens not reloaded") == 2
        assert NEW not in server.log


def test_tokens_over_plain_text_are_warned_of(artifact: Artifact, tokens: Path) -> None:
    """On an address that others reach, and only there."""
    for listen, warned in (("0.0.0.0:0", True), ("127.0.0.1:0", False)):
        with running(artifact.path, "--tokens-file", str(tokens), "--listen", listen, ready=False) as server:
            server.stop()
            assert ("tokens over plain text" in server.log) == warned


def test_our_client_brings_its_token(artifact: Artifact, tokens: Path, tmp_path: Path) -> None:
    """From a string or a file that may change, in calls and streams; a wrong one is an error of its own."""
    with running(artifact.path, "--tokens-file", str(tokens)) as server:
        with EmbeddingClient(server.target) as client:
            assert client.health() == "SERVING"
            with pytest.raises(UnauthenticatedError, match="missing or wrong"):
                client.embed("fire")
        with EmbeddingClient(config=ClientConfig(server.target, token=OLD)) as client:
            assert client.embed("fire").any()
            assert len(list(client.embed_stream(["fire", "sydney"]))) == 2
            assert OLD not in repr(client.config)
        file = tmp_path / "mine"
        file.write_text(f"{NEW}\n")
        with EmbeddingClient(config=ClientConfig(server.target, token_file=file)) as client:
            with pytest.raises(UnauthenticatedError):
                client.model()
            file.write_text(f"{OLD} \n")
            assert client.model().vector_size == 50
            file.unlink()
            assert client.embed("fire").any()
        file.write_text(OLD)
        embed = [sys.executable, "-m", "paravec_client.cli", "embed", "fire", "--target", server.target]
        for environ, code in (({"PARAVEC_TOKEN_FILE": str(file)}, 0), ({}, 7)):
            ran = subprocess.run(embed, env=os.environ | environ, capture_output=True, text=True, check=False)
            assert ran.returncode == code, ran.stderr
            assert "Traceback" not in ran.stderr


def test_our_command_speaks_tls(artifact: Artifact, pem: Pem) -> None:
    """By variables or flags; half of it is one line and exit code 2."""
    cert, key = pem.issue("caller")
    more = flags(*pem.issue("one"), "--tls-client-ca", str(pem.ca))
    with running(artifact.path, *more, ready=False) as server:
        server.wait_for("serving")
        model = [sys.executable, "-m", "paravec_client.cli", "model", "--target", server.target]
        whole = {"PARAVEC_TLS_CA": str(pem.ca), "PARAVEC_TLS_CERT": str(cert), "PARAVEC_TLS_KEY": str(key)}
        for given, environ, code in (
            ([], whole, 0),
            (["--tls-ca", str(pem.ca), "--tls-cert", str(cert), "--tls-key", str(key)], {}, 0),
            (["--tls-ca", str(pem.ca)], {}, 4),
            ([], {"PARAVEC_TLS_CERT": str(cert)}, 2),
        ):
            ran = subprocess.run(
                [*model, *given], env=os.environ | environ, capture_output=True, text=True, check=False
            )
            assert ran.returncode == code, ran.stderr
            assert len(ran.stderr.splitlines()) == (code != 0)


def test_a_client_that_cannot_be_made_says_why(pem: Pem, tmp_path: Path) -> None:
    """Files that are missing or do not match, and tokens that would go in plain text, are named before any call."""
    (cert, _), (_, other) = pem.issue("one"), pem.issue("two")
    gone, empty = tmp_path / "gone", tmp_path / "empty"
    empty.touch()
    far = "vectors.example.com:50051"
    for config, problem in (
        (ClientConfig(tls=Tls(cert=cert)), "a certificate needs its key"),
        (ClientConfig(tls=Tls(ca=gone)), f"{gone}: No such file"),
        (ClientConfig(tls=Tls(ca=empty)), f"{empty} holds no certificate"),
        (ClientConfig(tls=Tls(cert=cert, key=other)), f"{other} is not the key of {cert}"),
        (ClientConfig(token_file=gone), f"{gone}: No such file"),
        (ClientConfig(token_file=empty), f"{empty}: must be one token"),
        (ClientConfig(token=f"{OLD} {NEW}"), "must be one token"),
        (ClientConfig(token=OLD, token_file=empty), "one of them"),
        (ClientConfig(far, token=OLD), "over plain text"),
        (ClientConfig("ipv4:10.0.0.1:50051", token=OLD), "over plain text"),
        (ClientConfig("ipv4:127.0.0.1:1,10.0.0.1:1", token=OLD), "over plain text"),
    ):
        with pytest.raises(ConfigError, match="^.*" + problem.replace("(", r"\(")) as caught:
            EmbeddingClient(config=config)
        assert OLD not in str(caught.value)
    for config in (
        ClientConfig("localhost:1", token=OLD),
        ClientConfig("dns:///localhost:1", token=OLD),
        ClientConfig("ipv4:127.0.0.1:1", token=OLD),
        ClientConfig("[::1]:1", token=OLD),
        ClientConfig(f"unix:{tmp_path}/socket", token=OLD),
        ClientConfig(far, token=OLD, tls=Tls()),
        ClientConfig(far, token=OLD, insecure_token=True),
    ):
        EmbeddingClient(config=config).close()
