"""A real server with real certificates, asked by stock gRPC channels and by our client."""

import ssl
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc
from paravec_client import (
    ClientConfig,
    EmbeddingClient,
    Retry,
    Tls,
    UnavailableError,
)
from paravec_model.artifact import Artifact

from ..credentials import OLD, Pem, flags, health
from ..servers import PATIENCE, Server, command, failure, running, until


def secure(server: Server, pem: Pem, pair: tuple[Path, Path] | None = None) -> grpc.Channel:
    """A channel of its own connection, with a client's certificate if there is one."""
    cert, key = (file.read_bytes() for file in pair) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(pem.ca.read_bytes(), key, cert)
    return grpc.secure_channel(server.target, credentials, [("grpc.use_local_subchannel_pool", 1)])


def shown(server: Server) -> int:
    """The serial number of the certificate that the server shows now."""
    text = ssl.get_server_certificate(("127.0.0.1", server.port), timeout=PATIENCE)
    from cryptography import x509

    return x509.load_pem_x509_certificate(text.encode()).serial_number


def test_tls_serves_only_clients_that_trust_its_authority(artifact: Artifact, pem: Pem) -> None:
    """A stock channel and our client embed over TLS; plain text and clients of another authority fail."""
    with running(artifact.path, *flags(*pem.issue("one")), ready=False) as server:
        server.wait_for("serving")
        with secure(server, pem) as channel:
            stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            request = pb.EmbedRequest(documents=[pb.Document(text="fire")])
            assert stub.Embed(request, timeout=PATIENCE).embeddings[0].known_token_count == 1
        with EmbeddingClient(config=ClientConfig(server.target, tls=Tls(ca=pem.ca))) as client:
            assert client.embed("fire").any()
        stranger = Pem(pem.folder / "stranger")
        for tls in (None, Tls(ca=stranger.ca)):
            config = ClientConfig(server.target, tls=tls, retry=Retry(total_backoff=0))
            with EmbeddingClient(config=config) as client, pytest.raises(UnavailableError):
                client.embed("fire")
        assert server.stop() == 0


def test_the_certificates_name_is_checked(artifact: Artifact, pem: Pem) -> None:
    """A certificate for another name fails unless the client names it as server_name."""
    issued = pem.authority.issue_cert("vectors.example.com")
    cert, key = pem.folder / "named.crt", pem.folder / "named.key"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    with running(artifact.path, *flags(cert, key), ready=False) as server:
        server.wait_for("serving")
        config = ClientConfig(server.target, tls=Tls(ca=pem.ca), retry=Retry(total_backoff=0))
        with EmbeddingClient(config=config) as client:
            with pytest.raises(UnavailableError):
                client.embed("fire")
        named = Tls(ca=pem.ca, server_name="vectors.example.com")
        with EmbeddingClient(config=ClientConfig(server.target, tls=named)) as client:
            assert client.embed("fire").any()


def test_a_client_authority_makes_client_certificates_required(artifact: Artifact, pem: Pem) -> None:
    """A client certificate of that authority is accepted; none, or one of another authority, is refused."""
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
def test_an_expired_or_future_certificate_is_a_warning(artifact: Artifact, pem: Pem, year: int, problem: str) -> None:
    """The server starts with an expired or not yet valid certificate and logs a warning."""
    with running(artifact.path, *flags(*pem.issue("one", year)), ready=False) as server:
        server.stop()
        (line,) = [line for line in server.lines if "certificate invalid" in line]
        assert problem in line
        assert '"level": "warning"' in line


def test_incomplete_tls_or_token_settings_are_one_clear_line(artifact: Artifact, pem: Pem, tmp_path: Path) -> None:
    """A missing or wrong file is one line with its setting, and the exit code is 2."""
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
