"""The client library while servers fail: what is tried again, what is resumed, and what is told."""

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc
from paravec_client import Embedding, EmbeddingClient, InvalidArgumentError, ModelChangedError, UnavailableError
from paravec_client.unanswered import Unanswered
from paravec_model.artifact import Artifact
from paravec_server.errors import OverloadedError

from ..servers import PATIENCE, Server, running


class Flaky(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Fails as it is told to; the vector of a text is its length."""

    def __init__(self) -> None:
        self.failures: list[grpc.StatusCode] = []
        self.stream_lengths: list[int] = []
        self.digest = "one"
        self.come_again = False
        self.calls = 0

    def GetModel(self, *_: Any) -> pb.GetModelResponse:  # noqa: N802
        """Limits."""
        return pb.GetModelResponse(model=pb.ModelInfo(limits=pb.Limits(max_documents=9, max_message_bytes=10**6)))

    def Embed(self, request: pb.EmbedRequest, context: grpc.ServicerContext) -> pb.EmbedResponse:  # noqa: N802
        """Fails while failures are left."""
        self.calls += 1
        if self.failures:
            if self.come_again:
                status = OverloadedError("calls", 1).status
                context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(self.failures.pop(), "told to fail")
        return pb.EmbedResponse(embeddings=[_vector(document) for document in request.documents])

    def EmbedStream(self, requests: Any, context: grpc.ServicerContext) -> Iterator[pb.EmbedStreamResponse]:  # noqa: N802
        """Breaks after as many answers as the next of stream_lengths says."""
        length = self.stream_lengths.pop(0) if self.stream_lengths else None
        version = pb.ModelVersion(version=self.digest, digest=self.digest)
        for n, request in enumerate(requests):
            if n == length:
                context.abort(grpc.StatusCode.UNAVAILABLE, "told to break")
            yield pb.EmbedStreamResponse(model=version, embedding=_vector(request.document))
        if length is not None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "told to break")


def _vector(document: pb.Document) -> pb.Embedding:
    return pb.Embedding(vector=[len(document.text)])


@contextmanager
def flaky() -> Iterator[tuple[Flaky, EmbeddingClient]]:
    """Such a server, and a client of it."""
    servicer, server = Flaky(), grpc.server(ThreadPoolExecutor(8))
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with EmbeddingClient(f"127.0.0.1:{port}") as client:
            yield servicer, client
    finally:
        server.stop(None).wait()


def lengths(outcomes: Any) -> list[int]:
    """What the vectors say."""
    return [int(outcome.vector[0]) for outcome in outcomes]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"])
def test_a_call_is_tried_again(code: str) -> None:
    """What another try may mend is not the caller's business; a bound, if the server says when to come again."""
    with flaky() as (server, client):
        server.come_again = code == "RESOURCE_EXHAUSTED"
        server.failures = [grpc.StatusCode[code]] * 4
        assert client.embed("four") == [4]
        assert server.calls == 5


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "INTERNAL", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED"])
def test_a_call_at_fault_is_not_tried_again(code: str) -> None:
    """What would fail again is told at once."""
    with flaky() as (server, client):
        server.failures = [grpc.StatusCode[code]]
        with pytest.raises(Exception, match="told to fail"):
            client.embed("four")
        assert server.calls == 1


def test_failures_without_end_are_told_and_not_hammered() -> None:
    """A server that only fails is asked a few times, and 500 times by all calls of a client together."""
    with flaky() as (server, client):
        server.failures = [grpc.StatusCode.UNAVAILABLE] * 10_000
        with pytest.raises(UnavailableError, match="told to fail"):
            client.embed("four")
        assert 5 < server.calls < 12
        failed = threading.Semaphore(0)

        def call() -> None:
            with pytest.raises(UnavailableError):
                client.embed("four")
            failed.release()

        threads = [threading.Thread(target=call) for _ in range(90)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert failed.acquire(blocking=False)
        assert server.calls <= 500 + 91


@pytest.mark.parametrize("breaks", [[0], [1], [0, 0, 3, 256, 1], [300] * 3, [5] * 20])
def test_a_broken_stream_is_resumed(breaks: list[int]) -> None:
    """Wherever a stream breaks, each document is answered once, in order."""
    with flaky() as (server, client):
        server.stream_lengths = list(breaks)
        texts = ["x" * (n % 50) for n in range(700)]
        assert lengths(client.embed_stream(texts)) == [n % 50 for n in range(700)]
        assert not server.stream_lengths


def test_a_stream_that_breaks_after_its_last_document_is_resumed() -> None:
    """Its end is asked for again."""
    with flaky() as (server, client):
        server.stream_lengths = [3]
        assert lengths(client.embed_stream(["x"] * 3)) == [1] * 3


def test_a_stream_breaks_while_its_source_waits() -> None:
    """A document that a broken stream's thread waited for is sent by the next; an endless source stays bounded."""
    with flaky() as (server, client):
        server.stream_lengths = [1, 2, 3]
        go, taken = threading.Semaphore(1), itertools.count()

        def documents() -> Iterator[str]:
            while True:
                assert go.acquire(timeout=PATIENCE)
                yield "x" * next(taken)

        stream = client.embed_stream(documents())
        for n in range(20):
            made = next(stream)
            assert isinstance(made, Embedding)
            assert made.vector == [n]
            go.release()
        stream.close()
        assert next(taken) < 30


def test_errors_keep_their_place_in_a_resumed_stream() -> None:
    """With errors="return" the error of a document stays with it, though another stream answered."""
    with flaky() as (server, client):
        # This server answers an empty document too, so that only the client's own finding counts.
        server.stream_lengths = [2, 1]
        outcomes = list(client.embed_stream(["a", "bb", "ccc", "x" * 2_000_000, "ddddd"], errors="return"))
        assert lengths([*outcomes[:3], outcomes[4]]) == [1, 2, 3, 5]


def test_a_stream_keeps_to_one_model() -> None:
    """Vectors of two models are never mixed without a word."""
    with flaky() as (server, client):
        server.stream_lengths = [1]
        stream = client.embed_stream(["x"] * 3)
        next(stream)
        server.digest = "two"
        with pytest.raises(ModelChangedError, match="from version one to two"):
            list(stream)


@given(st.lists(st.integers(0, 6), max_size=6), st.integers(0, 12))
def test_whatever_breaks_nothing_is_lost_or_doubled(answers: list[int], count: int) -> None:
    """However many messages each attempt gets answered, all are answered once, in order."""
    unanswered = Unanswered(iter(range(count)))
    done: list[int] = []
    for most in [*answers, count + 1]:
        for message in itertools.islice(unanswered.messages(), most):
            unanswered.answer()
            done.append(message)
    assert done == list(range(count))


def test_a_killed_servers_calls_and_streams_go_on_elsewhere(
    artifact: Artifact, kernel_cache: Path, server: Server
) -> None:
    """SIGKILL of one of two servers under load: no call fails, a stream goes on, and each vector is the same."""
    limits = ("--max-documents", "64", "--max-tokens", "2000", "--max-epochs", "2000", "--max-message-bytes", "2000000")
    with running(artifact.path, kernel_cache, *limits) as other:
        with EmbeddingClient(f"ipv4:{server.target},{other.target}") as client:
            expected = client.embed("fire in sydney")
            for _ in client.embed(["fire"] * 4):
                pass
            wrong: list[object] = []

            def call() -> None:
                for _ in range(150):
                    try:
                        if not np.array_equal(client.embed("fire in sydney"), expected):
                            wrong.append("vector")
                    except Exception as error:
                        wrong.append(error)

            def stream() -> None:
                try:
                    made = list(client.embed_stream(itertools.repeat("fire in sydney", 3000)))
                    if len(made) != 3000 or not all(np.array_equal(m.vector, expected) for m in made):  # type: ignore[union-attr]
                        wrong.append("stream")
                except Exception as error:
                    wrong.append(error)

            threads = [threading.Thread(target=work) for work in (call, call, call, stream, stream)]
            for thread in threads:
                thread.start()
            time.sleep(0.2)
            other.process.send_signal(signal.SIGKILL)
            for thread in threads:
                thread.join(PATIENCE)
            assert not wrong


def test_a_wrong_document_still_ends_a_stream(client: EmbeddingClient) -> None:
    """What is the document's fault is not tried again."""
    with pytest.raises(InvalidArgumentError):
        list(client.embed_stream(["fire", ["a"] * 2001]))


def test_chaos_in_its_short_form(artifact: Artifact, kernel_cache: Path, tmp_path: Path) -> None:
    """Three nodes: restarts, a SIGKILL and a cut link fail no call of a client with its defaults."""
    chaos = Path(__file__).parents[2] / "benchmarks/chaos.py"
    command = [sys.executable, str(chaos), "--short", "--model", str(artifact.path), "--json", str(tmp_path / "out")]
    ran = subprocess.run(
        [*command, "--kernel-cache", str(kernel_cache)], capture_output=True, text=True, check=False, timeout=300
    )
    if ran.returncode == 3:
        pytest.skip(ran.stderr.strip())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "link of a node cut" in ran.stdout
