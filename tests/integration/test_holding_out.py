"""The client's retries, and its streams, while servers fail."""

import gc
import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections import deque
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
from paravec_client import (
    Batch,
    ClientConfig,
    Embedding,
    EmbeddingClient,
    InvalidArgumentError,
    Limits,
    ModelChangedError,
    Retry,
    UnavailableError,
)
from paravec_client._protocol.call_settings import CallSettings
from paravec_client._protocol.calls import Call, Program
from paravec_client._protocol.programs import CallPrograms
from paravec_client._protocol.stream import StreamBatcher
from paravec_model.artifact import Artifact
from paravec_server.rpc.errors import InvalidArgumentError as BadDocumentError
from paravec_server.rpc.errors import OverloadedError

from ..blocking import Blocking
from ..calls import started
from ..servers import PATIENCE, Server, running, until


class Flaky(embedding_pb2_grpc.EmbeddingServiceServicer):
    """A server without health that fails on demand; the vector of a text is its length."""

    def __init__(self) -> None:
        self.failures: list[grpc.StatusCode | None] = []
        self.digest = "one"
        self.come_again = False
        self.calls = 0

    def GetModel(self, *_: Any) -> pb.GetModelResponse:  # noqa: N802
        """Limits."""
        return pb.GetModelResponse(model=pb.ModelInfo(limits=pb.Limits(max_documents=9, max_message_bytes=10**6)))

    def Embed(self, request: pb.EmbedRequest, context: grpc.ServicerContext) -> pb.EmbedResponse:  # noqa: N802
        """Fails while failures are left, and for a document "bad"."""
        self.calls += 1
        if self.failures and (code := self.failures.pop(0)):
            if self.come_again:
                status = OverloadedError("calls", 1).status
                context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(code, "told to fail")
        for number, document in enumerate(request.documents):
            if document.text == "bad":
                status = BadDocumentError(f"documents[{number}].text", "is bad").status
                context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, status.message)
        return pb.EmbedResponse(model=self._version, embeddings=[_vector(document) for document in request.documents])

    def EmbedStream(self, requests: Any, context: grpc.ServicerContext) -> Iterator[pb.EmbedStreamResponse]:  # noqa: N802
        """The outcome of each; breaks in the middle while failures are left."""
        for n, request in enumerate(requests):
            if n == 1 and self.failures and (code := self.failures.pop(0)):
                context.abort(code, "told to break")
            if request.document.text == "bad":
                status = BadDocumentError("document.text", "is bad").status
                yield pb.EmbedStreamResponse(model=self._version, error=status)
            else:
                yield pb.EmbedStreamResponse(model=self._version, embedding=_vector(request.document))

    @property
    def _version(self) -> pb.ModelVersion:
        return pb.ModelVersion(version=self.digest, digest=self.digest)


def _vector(document: pb.Document) -> pb.Embedding:
    return pb.Embedding(vector=[len(document.text)])


@contextmanager
def flaky(way: type[EmbeddingClient] = EmbeddingClient, **config: Any) -> Iterator[tuple[Flaky, EmbeddingClient]]:
    """Such a server, and a client of it."""
    servicer, server = Flaky(), grpc.server(ThreadPoolExecutor(8))
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(servicer, server)
    with started(server) as target, way(config=ClientConfig(target, **config)) as client:
        yield servicer, client


def lengths(outcomes: Any) -> list[int]:
    """What the vectors say."""
    return [int(outcome.vector[0]) for outcome in outcomes]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"])
def test_a_transient_failure_is_retried(code: str) -> None:
    """A call that failed with a transient status is retried, after the server's retry delay if it gives one."""
    with flaky() as (server, client):
        server.come_again = code == "RESOURCE_EXHAUSTED"
        server.failures = [grpc.StatusCode[code]] * 4
        assert client.embed("four") == [4]
        assert server.calls == 5


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "INTERNAL", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED"])
def test_a_permanent_failure_is_not_retried(code: str) -> None:
    """A status that another try would repeat is raised at once."""
    with flaky() as (server, client):
        server.failures = [grpc.StatusCode[code]]
        with pytest.raises(Exception, match="told to fail"):
            client.embed("four")
        assert server.calls == 1


def test_retries_are_bounded() -> None:
    """A server that always fails gets a few tries of each call, and a bounded number of all calls of a client."""
    # Ten times faster than the defaults, in as many tries.
    with flaky(retry=Retry(total_backoff=0.4, initial_backoff=0.005, max_backoff=0.1)) as (server, client):
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


LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, None)


@pytest.mark.parametrize("way", [Blocking, EmbeddingClient])
def test_a_stream_survives_lost_calls(way: type[EmbeddingClient]) -> None:
    """Whichever of a stream's calls fail, each document is answered once and in order."""
    with flaky(way) as (server, client):
        server.failures = [LOST[n % 3] for n in range(30)]
        texts = ["x" * (n % 50) for n in range(700)]
        assert lengths(client.embed_stream(texts)) == [n % 50 for n in range(700)]
        assert not server.failures


@pytest.mark.parametrize("way", [Blocking, EmbeddingClient])
def test_the_calls_of_a_list_are_retried(way: type[EmbeddingClient]) -> None:
    """Each of the calls that a long list takes is retried."""
    with flaky(way) as (server, client):
        server.failures = [LOST[n % 3] for n in range(12)]
        assert client.embed(["x" * (n % 50) for n in range(200)])[:, 0].tolist() == [n % 50 for n in range(200)]


def test_a_stream_sends_each_document_without_waiting_for_more() -> None:
    """A document that comes alone is sent at once, with or without lost calls, and an endless source stays bounded."""
    with flaky() as (server, client):
        server.failures = [LOST[n % 3] for n in range(9)]
        go, taken = threading.Semaphore(1), itertools.count()

        def documents() -> Iterator[str]:
            while True:
                assert go.acquire(timeout=PATIENCE)
                yield "x" * next(taken)

        stream = client.embed_stream(documents())
        for n in range(20):
            assert next(stream).vector == [n]
            go.release()
        stream.close()
        assert next(taken) < 30
        go.release()  # the reader hears of the end when its source gives something


@pytest.mark.parametrize("way", [Blocking, EmbeddingClient])
def test_errors_keep_their_place(way: type[EmbeddingClient]) -> None:
    """With errors="return" each error stands where its document did, and names it, though calls are lost."""
    with flaky(way) as (server, client):
        server.failures = [LOST[0], None, LOST[1], LOST[0]]
        documents = ["a", "bad", "ccc", "x" * 2_000_000, "ddddd", "bad", *["x"] * 20, "bad", "\ud800"]
        outcomes = list(client.embed_stream(documents, errors="return"))
        faulty = {n: str(outcome) for n, outcome in enumerate(outcomes) if not isinstance(outcome, Embedding)}
        assert list(faulty) == [1, 3, 5, 26, 27]
        assert all(text.startswith(f"documents[{n}]") for n, text in faulty.items())
        assert lengths(o for o in outcomes if isinstance(o, Embedding)) == [1, 3, 5] + [1] * 20
        assert list(map(type, client.embed_stream(["\ud800"] * 30, errors="return"))) == [InvalidArgumentError] * 30
        stream = client.embed_stream(documents)
        assert next(stream).vector == [1]
        with pytest.raises(InvalidArgumentError, match=r"^documents\[1\]\.text: is bad") as caught:
            next(stream)
        assert [violation.field for violation in caught.value.violations] == ["documents[1].text"]


@pytest.mark.parametrize("way", [Blocking, EmbeddingClient])
def test_a_stream_keeps_to_one_model(way: type[EmbeddingClient]) -> None:
    """Vectors of two models are never mixed without a word."""
    with flaky(way) as (server, client):
        stream = client.embed_stream(["x"] * 100)
        next(stream)
        server.digest = "two"
        with pytest.raises(ModelChangedError, match="from version one to two"):
            list(stream)


@pytest.mark.parametrize("way", [Blocking, EmbeddingClient])
def test_an_abandoned_stream_leaves_no_threads_or_calls(way: type[EmbeddingClient]) -> None:
    """Streams not read to their end, and closed clients, leave neither threads nor calls."""
    with flaky(way) as (_, client):
        # A first client: gRPC's own threads are there from now on.
        client.embed("x")
        before = threading.active_count()
        for _ in range(20):
            with way(client.config.target) as other:
                stream = other.embed_stream(itertools.repeat("x"))
                next(stream)
                stream.close()
                next(other.embed_stream(itertools.repeat("x")))
        gc.collect()
        # Two that serve: the server's health is not there, its threads are.
        until(lambda: threading.active_count() <= before + 8)


def test_the_state_of_a_stream_is_bounded_and_in_order() -> None:
    """Whatever comes fast or slowly, is at fault or not, is cut into full batches and told in order."""

    @given(st.lists(st.sampled_from(["good", "\ud800", 5]), max_size=40), st.integers(1, 7), st.randoms())
    def check(documents: list[Any], most: int, chance: random.Random) -> None:
        config = ClientConfig(batch=Batch(documents=most))
        limits = Limits(1000, 1000, 1000, 10**6)
        stream = StreamBatcher(CallPrograms(config), limits, pb.InferenceOptions(), "return", CallSettings())
        left = deque(documents)
        told: list[Any] = []
        while True:
            while left and chance.random() < 0.7 and not stream.full:
                stream.add(left.popleft())
            stream.source_ended = not left
            program = stream.next_batch(idle=chance.random() < 0.5)
            if program:
                told += stream.outcomes(answered(program))
            elif not left and stream.empty:
                break
        assert [isinstance(outcome, Embedding) for outcome in told] == [document == "good" for document in documents]
        for n, outcome in enumerate(told):
            assert isinstance(outcome, Embedding) or str(outcome).startswith(f"documents[{n}]: ")

    check()


def answered(program: Program[Any]) -> Any:
    """What a program returns if each of its calls is answered."""
    try:
        step = next(program)
        while True:
            response = None
            if isinstance(step, Call):
                vectors = [pb.Embedding(vector=[1]) for _ in step.request.documents]
                response = pb.EmbedResponse(embeddings=vectors).SerializeToString()
            step = program.send(response)
    except StopIteration as end:
        return end.value


def test_calls_and_streams_fail_over_when_a_server_is_killed(artifact: Artifact, server: Server) -> None:
    """After SIGKILL of one of two servers under load, no call fails, a stream goes on, and vectors are the same."""
    limits = ("--max-documents", "64", "--max-tokens", "2000", "--max-epochs", "2000", "--max-message-bytes", "2000000")
    with running(artifact.path, *limits) as other:
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
                    if len(made) != 3000 or not all(np.array_equal(m.vector, expected) for m in made):
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


def test_an_invalid_document_is_not_retried(client: EmbeddingClient) -> None:
    """An invalid document ends the stream without a retry."""
    with pytest.raises(InvalidArgumentError):
        list(client.embed_stream(["fire", ["a"] * 2001]))


@pytest.mark.slow
def test_the_short_chaos_benchmark_reports_no_failed_call(artifact: Artifact, tmp_path: Path) -> None:
    """Across three nodes with restarts, a SIGKILL and a cut link, no call of a client with its defaults fails."""
    chaos = Path(__file__).parents[2] / "benchmarks/chaos.py"
    command = [sys.executable, str(chaos), "--short", "--model", str(artifact.path), "--json", str(tmp_path / "out")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if ran.returncode == 3:
        pytest.skip(ran.stderr.strip())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "link of a node cut" in ran.stdout
