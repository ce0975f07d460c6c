"""The fake server behaves as the real one does."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from paravec_client import (
    ClientConfig,
    Embedding,
    EmbeddingClient,
    InferenceOptions,
    Limits,
    OverloadedError,
    ParavecError,
    Retry,
    ServerError,
)
from paravec_client.testing import FakeServer, fake_server, paravec_server

from ..servers import Server

__all__ = ["paravec_server"]

# As tests/conftest.py has the real one's.
LIMITS = Limits(max_documents=64, max_tokens=2000, max_epochs=2000, max_message_bytes=2_000_000, max_top_k=100)


def test_the_fake_server_is_a_pytest_fixture(paravec_server: FakeServer) -> None:
    """Equal words get equal vectors, other words others; a word may be unknown, and options count."""
    with EmbeddingClient(paravec_server.target) as client:
        one, same, other, unknown = client.embed_all(["a text", "A  text!", ["another"], "unknownword"])
        assert np.array_equal(one.vector, same.vector)
        assert not np.array_equal(one.vector, other.vector)
        assert not unknown.vector.any()
        assert (unknown.token_count, unknown.known_token_count) == (1, 0)
        assert np.linalg.norm(client.embed("a text", InferenceOptions(normalize=True))) == pytest.approx(1, abs=1e-6)
        assert not np.array_equal(client.embed("a text", InferenceOptions(seed=5)), one.vector)
        assert paravec_server.documents[:4] == ["a text", "A  text!", ["another"], "unknownword"]
    with fake_server(vector_size=7) as second, EmbeddingClient(second.target) as client:
        assert client.embed("a text").shape == (7,)
        assert client.model().vector_size == 7
    with fake_server() as third, EmbeddingClient(third.target) as client:
        assert np.array_equal(client.embed("a text"), one.vector)


def test_health_watches_do_not_block_the_fake_server(paravec_server: FakeServer) -> None:
    """Health watches that open and close all the time leave calls answered."""

    def watch() -> None:
        with grpc.insecure_channel(paravec_server.target) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            for _ in range(500):
                watched = stub.Watch(health_pb2.HealthCheckRequest())
                next(watched)
                watched.cancel()

    threads = [threading.Thread(target=watch, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        paravec_server.set_ready(True)
    with EmbeddingClient(paravec_server.target) as client:
        assert client.embed("a text").any()


@pytest.mark.parametrize(
    ("documents", "options"),
    [
        (["fine", ["a"] * 2001], None),
        (["fine"], InferenceOptions(epochs=0)),
        (["fine"], InferenceOptions(epochs=2001)),
        (["fine"], InferenceOptions(alpha=7)),
        (["fine"], InferenceOptions(alpha=0)),
        (["fine"], InferenceOptions(min_alpha=0.9)),
        (["x" * 2_100_000], None),
    ],
)
def test_the_fake_server_refuses_what_the_real_one_refuses(server: Server, documents: Any, options: Any) -> None:
    """A wrong request has the same error, code and field as at the real server, in calls and in streams."""
    with fake_server(limits=LIMITS) as fake:
        told = []
        for target in (server.target, fake.target):
            with EmbeddingClient(target) as client:
                for embed in (client.embed, lambda *of, client=client: list(client.embed_stream(*of))):
                    with pytest.raises(ParavecError) as caught:
                        embed(documents, options)
                    error = caught.value
                    told.append((type(error), error.code, [violation.field for violation in error.violations]))
        assert told[:2] == told[2:]


def test_the_fake_server_truncates_as_the_real_one_does(server: Server) -> None:
    """A document cut by truncate is marked as truncated."""
    with fake_server(limits=LIMITS) as fake:
        for target in (server.target, fake.target):
            with EmbeddingClient(target) as client:
                (made,) = client.embed_all([["fire"] * 2001], InferenceOptions(truncate=True))
                assert (made.token_count, made.known_token_count, made.truncated) == (2001, 2000, True)
                assert client.model().limits == LIMITS


def test_the_fake_server_fails_on_demand(paravec_server: FakeServer) -> None:
    """The given number of calls fail with the given status and details; the client's own retries count."""
    with EmbeddingClient(config=ClientConfig(paravec_server.target, retry=Retry(total_backoff=0))) as client:
        paravec_server.fail("RESOURCE_EXHAUSTED", retry_after=0.25)
        with pytest.raises(OverloadedError) as overloaded:
            client.embed("fire")
        assert overloaded.value.retry_after == 0.25
        paravec_server.fail("INTERNAL")
        with pytest.raises(ServerError) as failed:
            client.embed("fire")
        assert failed.value.request_id == "fake"
        assert client.embed("fire").any()
    with EmbeddingClient(paravec_server.target) as client:
        paravec_server.fail("UNAVAILABLE", times=3)
        assert len([made for made in client.embed_stream(["fire"] * 600) if isinstance(made, Embedding)]) == 600


def test_the_fake_server_works_without_pytest(tmp_path: Path) -> None:
    """Without pytest there is no fixture, and everything else works."""
    code = (
        "import sys; sys.modules['pytest'] = None;"
        "from paravec_client.testing import fake_server; from paravec_client import EmbeddingClient;"
        "server = fake_server(); target = server.__enter__().target;"
        "assert EmbeddingClient(target).embed('fire').any(); server.__exit__(None, None, None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
