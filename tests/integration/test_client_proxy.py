"""How the client uses the environment's proxy."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from paravec_client import (
    ClientConfig,
    ConfigError,
    EmbeddingClient,
    ParavecError,
    Retry,
)
from paravec_client.testing import fake_server

from ..blocking import Blocking

EITHER = pytest.mark.parametrize("way", [EmbeddingClient, Blocking])


@contextmanager
def recording_proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that notes what it is asked for and refuses; its URL and the first lines of requests."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                with caller:
                    asked.append(caller.recv(4096).splitlines()[0])
                    caller.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        Thread(target=serve, daemon=True).start()
        yield f"http://user:pass@127.0.0.1:{listener.getsockname()[1]}", asked


@EITHER
def test_local_servers_are_reached_without_the_proxy(
    way: type[EmbeddingClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local server is reached directly; for another, an error names the proxy without its password."""
    with recording_proxy() as (url, asked), fake_server() as server:
        monkeypatch.setenv("http_proxy", url)
        for name in ("no_proxy", "no_grpc_proxy", "grpc_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        port = server.target.rpartition(":")[2]
        monkeypatch.setenv("GRPC_ADDRESS_HTTP_PROXY", url.rpartition("@")[2])
        monkeypatch.setenv("GRPC_ADDRESS_HTTP_PROXY_ENABLED_ADDRESSES", "127.0.0.1/8")
        for target in (f"localhost:{port}", server.target, f"ipv4:{server.target},{server.target}"):
            with way(config=ClientConfig(target, token="s3cret")) as client:
                assert client.embed("fire").any()
        assert not asked
        monkeypatch.delenv("GRPC_ADDRESS_HTTP_PROXY")
        with way(config=ClientConfig("vectors.invalid:50051", retry=Retry(total_backoff=0))) as client:
            with pytest.raises(ParavecError, match=r"\(through the proxy 127\.0\.0\.1:\d+ \(http_proxy\)\)") as caught:
                client.embed("fire", timeout=5)
        assert "pass" not in str(caught.value)
        assert asked[0].startswith(b"CONNECT vectors.invalid:50051")


def test_a_token_for_a_server_behind_a_proxy_needs_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or insecure_token."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="plain text"):
        EmbeddingClient(config=ClientConfig("vectors.invalid:50051", token="s3cret"))
