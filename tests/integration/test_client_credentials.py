"""The credentials of our client and its command: certificates and tokens."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paravec_client import (
    ClientConfig,
    ConfigError,
    EmbeddingClient,
    Tls,
    UnauthenticatedError,
)
from paravec_model.artifact import Artifact

from ..credentials import NEW, OLD, Pem, flags
from ..servers import running


def test_the_client_sends_its_token(artifact: Artifact, tokens: Path, tmp_path: Path) -> None:
    """A token from a string or from a file that may change goes with calls and streams; a wrong one is
    UnauthenticatedError."""
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


def test_the_command_uses_tls(artifact: Artifact, pem: Pem) -> None:
    """TLS is set by variables or flags; an incomplete setting is one line and exit code 2."""
    cert, key = pem.issue("caller")
    more = flags(*pem.issue("one"), "--tls-client-ca", str(pem.ca))
    with running(artifact.path, *more, ready=False) as server:
        server.wait_for("serving")
        model = [sys.executable, "-m", "paravec_client.cli", "model", "--target", server.target]
        whole = {"PARAVEC_TLS_CA": str(pem.ca), "PARAVEC_TLS_CERT": str(cert), "PARAVEC_TLS_KEY": str(key)}
        for given, environ, code in (
            ([], whole, 0),
            (["--tls-ca", str(pem.ca), "--tls-cert", str(cert), "--tls-key", str(key)], {}, 0),
            (["--tls-ca", str(pem.ca)], {"PARAVEC_RETRY_PATIENCE": "0"}, 4),
            ([], {"PARAVEC_TLS_CERT": str(cert)}, 2),
        ):
            ran = subprocess.run(
                [*model, *given], env=os.environ | environ, capture_output=True, text=True, check=False
            )
            assert ran.returncode == code, ran.stderr
            assert len(ran.stderr.splitlines()) == (code != 0)


def test_wrong_client_credentials_are_named_before_any_call(pem: Pem, tmp_path: Path) -> None:
    """Missing or unmatched files, and a token that would go in plain text, are a ConfigError."""
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
