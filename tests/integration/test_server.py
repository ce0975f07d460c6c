"""A real server, asked by a stock gRPC client: what it answers, refuses and says of itself."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import message as protobuf
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import given, settings
from hypothesis import strategies as st

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder
from paravec_model.options import InferenceOptions
from paravec_server.services.messages import METHODS

from ..servers import PATIENCE, Server, command, running

SERVICE = "paravec.v1.EmbeddingService"


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    """A channel to the server."""
    with grpc.insecure_channel(server.target) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> Any:
    """The generated stub."""
    return embedding_pb2_grpc.EmbeddingServiceStub(channel)


def text(content: str) -> pb.Document:
    """A document of text."""
    return pb.Document(text=content)


def tokens(*content: str) -> pb.Document:
    """A document of tokens."""
    return pb.Document(tokens=pb.TokenList(tokens=content))


def details(error: Any, kind: type[protobuf.Message]) -> Any:
    """The detail of that kind in a failed call."""
    packed = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(packed)
    assert status.code == error.code().value[0]
    found = kind()
    assert any(detail.Unpack(found) for detail in status.details)
    return found


def refused(stub: Any, request: pb.EmbedRequest) -> Any:
    """The error of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        stub.Embed(request, timeout=PATIENCE)
    return caught.value


def test_vectors_over_the_wire_are_the_encoders(stub: Any, encoder: Encoder) -> None:
    """Text and tokens give what the encoder gives, in order, with the counts and the model's identity."""
    content = "The fire in Sydney spread, xyzzy!"
    response = stub.Embed(pb.EmbedRequest(documents=[text(content), tokens("fire", "Fire"), text("")]))
    manifest = encoder.manifest
    identity = pb.ModelVersion(name=manifest.name, version=manifest.version, digest=manifest.digest)
    assert response.model == identity
    expected = encoder.encode([encoder.tokenize(content), ["fire", "Fire"], []]).vectors
    assert np.array_equal(np.array([e.vector for e in response.embeddings], np.float32), expected)
    counts = [(e.token_count, e.known_token_count, e.truncated) for e in response.embeddings]
    assert counts == [(6, 5, False), (2, 1, False), (0, 0, False)]


def test_options_reach_the_encoder(stub: Any, encoder: Encoder) -> None:
    """Each option that is set takes effect; those left out are the model's."""
    options = pb.InferenceOptions(
        method=pb.METHOD_SGD, epochs=3, alpha=0.1, min_alpha=0.05, seed=2**64 - 1, normalize=True
    )
    response = stub.Embed(pb.EmbedRequest(documents=[text("the fire")], options=options))
    ours = InferenceOptions(epochs=3, alpha=0.1, min_alpha=0.05, seed=2**64 - 1, normalize=True)
    assert np.array_equal(
        np.array(response.embeddings[0].vector, np.float32), encoder.encode([["the", "fire"]], ours).vectors[0]
    )


def test_each_of_many_callers_gets_what_it_asked_for(channel: grpc.Channel, stub: Any, encoder: Encoder) -> None:
    """Short texts that come at once, with other options, of several documents, of tokens, or at fault: each call
    has its own answer, byte for byte what the contract's own messages would be."""
    words = [word for word in encoder.artifact.vocabulary if word.isalpha()][:200]
    model = stub.GetModel(pb.GetModelRequest()).model.version
    asked, expected = [], []
    for i in range(200):
        texts = [" ".join(words[(i + n) % 200 :][: 1 + i % 30]) for n in range(i % 4 + 1)]
        normalize, by_map = bool(i // 2 % 2), bool(i // 7 % 2)
        options = InferenceOptions("map" if by_map else "sgd", epochs=20, seed=1 + i % 3 // 2, normalize=normalize)
        seed = None if by_map else options.seed
        message = pb.InferenceOptions(method=METHODS[options.method], normalize=normalize, seed=seed)
        documents = [tokens(*one.split()) if i % 11 == 5 else text(one) for one in texts]
        if i % 13 == 7:
            documents.append(pb.Document())
        asked.append(pb.EmbedRequest(documents=documents, options=message).SerializeToString())
        made = encoder.encode([encoder.tokenize(one) for one in texts], options)
        embeddings = [
            pb.Embedding(vector=vector, token_count=len(encoder.tokenize(one)), known_token_count=known)
            for vector, known, one in zip(made.vectors, made.known_token_counts, texts, strict=True)
        ]
        response = pb.EmbedResponse(embeddings=embeddings, model=model, method=message.method)
        expected.append(response.SerializeToString())
    embed: Any = channel.unary_unary(f"/{SERVICE}/Embed")
    futures = [embed.future(request, timeout=PATIENCE) for request in asked]
    for i, future in enumerate(futures):
        if i % 13 == 7:
            assert future.code() is grpc.StatusCode.INVALID_ARGUMENT
        else:
            assert future.result() == expected[i]


def test_the_model_is_described(stub: Any, artifact: Artifact) -> None:
    """GetModel tells identity, architecture, defaults, limits and tokenizer."""
    model = stub.GetModel(pb.GetModelRequest()).model
    assert model.version.digest == artifact.manifest.digest
    assert model.algorithm == pb.ALGORITHM_DBOW
    assert model.vector_size == artifact.manifest.algorithm.vector_size
    assert model.vocabulary_size == len(artifact.vocabulary)
    assert list(model.methods) == [pb.METHOD_SGD, pb.METHOD_MAP]
    assert (model.defaults.epochs, model.defaults.seed, model.defaults.alpha) == (20, 1, 0.025)
    assert (model.limits.max_documents, model.limits.max_tokens, model.limits.max_top_k) == (64, 2000, 100)
    assert model.document_count == 312
    assert (model.tokenizer.kind, model.tokenizer.lowercase, model.tokenizer.max_len) == ("simple", True, 15)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.EmbedRequest(), "documents"),
        (pb.EmbedRequest(documents=[text("a")] * 65), "documents"),
        (pb.EmbedRequest(documents=[text("a"), pb.Document()]), "documents[1]"),
        (pb.EmbedRequest(documents=[text("a"), text("word " * 2001)]), "documents[1].text"),
        (pb.EmbedRequest(documents=[tokens(*["a"] * 2001)]), "documents[0].tokens"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(epochs=0)), "options.epochs"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(epochs=2001)), "options.epochs"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(alpha=0)), "options.alpha"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(alpha=float("nan"))), "options.alpha"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(min_alpha=-1)), "options.min_alpha"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(alpha=1e-6)), "options.min_alpha"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(method=99)), "options.method"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_argument_names_its_field(stub: Any, request_: pb.EmbedRequest, field: str) -> None:
    """INVALID_ARGUMENT carries a BadRequest with the path of the field at fault."""
    error = refused(stub, request_)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    violation = details(error, error_details_pb2.BadRequest).field_violations[0]
    assert violation.field == field
    assert violation.description
    assert error.details().startswith(field)


def test_a_long_document_is_cut_only_if_allowed_and_says_so(stub: Any, encoder: Encoder) -> None:
    """With truncate, the vector is that of the first max_tokens tokens."""
    words = ["fire", "sydney"] * 1500
    options = pb.InferenceOptions(truncate=True)
    made = stub.Embed(pb.EmbedRequest(documents=[tokens(*words)], options=options)).embeddings[0]
    assert (made.truncated, made.token_count, made.known_token_count) == (True, 3000, 2000)
    assert np.array_equal(np.array(made.vector, np.float32), encoder.encode([words[:2000]]).vectors[0])


@pytest.mark.parametrize("junk", [b"\xff\xff\xff", b"\x0a\x04\x0a\x02\xc3\x28", b"\x0a\xff\xff\xff\xff\x0f"])
def test_bytes_that_are_no_request_are_the_callers_fault(channel: grpc.Channel, junk: bytes) -> None:
    """Garbage and text that is not UTF-8 get INVALID_ARGUMENT, in a call and in a stream."""
    call: Any = channel.unary_unary(f"/{SERVICE}/Embed")
    with pytest.raises(grpc.RpcError) as caught:
        call(junk, timeout=PATIENCE)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    stream: Any = channel.stream_stream(f"/{SERVICE}/EmbedStream")
    (answer,) = stream(iter([junk]), timeout=PATIENCE)
    assert pb.EmbedStreamResponse.FromString(answer).error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_a_bad_document_does_not_end_the_stream(stub: Any, encoder: Encoder) -> None:
    """Every document of a stream is answered in order, with its own vector or its own error."""
    fine = [text(f"the fire {i}") for i in range(200)]
    documents = [pb.Document() if i % 7 == 3 else d for i, d in enumerate(fine)]
    options = [pb.InferenceOptions(epochs=1 + i % 2) for i in range(200)]
    requests = (pb.EmbedStreamRequest(document=d, options=o) for d, o in zip(documents, options, strict=True))
    answers = list(stub.EmbedStream(requests, timeout=PATIENCE))
    assert len(answers) == 200
    once, twice = (encoder.encode([["the", "fire"]], InferenceOptions(epochs=n)).vectors[0] for n in (1, 2))
    for i, answer in enumerate(answers):
        assert answer.model.digest == encoder.manifest.digest
        if i % 7 == 3:
            assert answer.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
            detail = error_details_pb2.BadRequest()
            assert answer.error.details[0].Unpack(detail)
            assert detail.field_violations[0].field == "document"
        else:
            assert np.array_equal(np.array(answer.embedding.vector, np.float32), twice if i % 2 else once)


def test_a_stream_answers_while_it_is_open(stub: Any) -> None:
    """A vector comes back before the next document is sent."""
    answered = threading.Semaphore(1)

    def requests() -> Iterator[pb.EmbedStreamRequest]:
        for _ in range(5):
            assert answered.acquire(timeout=PATIENCE)
            yield pb.EmbedStreamRequest(document=text("fire"))

    for answer in stub.EmbedStream(requests(), timeout=PATIENCE):
        assert answer.HasField("embedding")
        answered.release()


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@settings(max_examples=150)
@given(ANY_TEXT)
def test_text_of_any_kind_gets_a_vector(stub: Any, content: str) -> None:
    """Whatever Unicode a text holds, it is embedded."""
    response = stub.Embed(pb.EmbedRequest(documents=[text(content), tokens(content)]), timeout=PATIENCE)
    assert len(response.embeddings) == 2
    assert all(np.isfinite(e.vector).all() and len(e.vector) == 50 for e in response.embeddings)


@pytest.mark.parametrize(
    "content",
    ["", "\0", "🔥 fuoco 🔥", "نار في سيدني", "e\u0301\u0301\u0301" * 50, "\u202efire\u202c", "x" * 1_000_000],
    # pytest tells processes the name of a test, and a megabyte is too much for their environment.
    ids=["empty", "null", "emoji", "Arabic", "combining", "override", "a megabyte"],
)
def test_odd_texts_get_a_vector(stub: Any, content: str) -> None:
    """Empty, NUL, emoji, right-to-left, combining marks and a megabyte without a space are embedded."""
    assert len(stub.Embed(pb.EmbedRequest(documents=[text(content)]), timeout=PATIENCE).embeddings) == 1


def test_a_megabyte_of_words_is_refused_by_name_or_cut(stub: Any) -> None:
    """A text beyond the limit of tokens is the caller's to shorten, or the server's if he says so."""
    content = "fire in sydney " * 66_000
    error = refused(stub, pb.EmbedRequest(documents=[text(content)]))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    options = pb.InferenceOptions(truncate=True)
    assert stub.Embed(pb.EmbedRequest(documents=[text(content)], options=options)).embeddings[0].truncated


def test_a_message_beyond_the_limit_is_refused(stub: Any) -> None:
    """gRPC itself refuses a request larger than max_message_bytes, and the server goes on."""
    error = refused(stub, pb.EmbedRequest(documents=[text("x" * 2_100_000)]))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stub.Embed(pb.EmbedRequest(documents=[text("fire")]))


def test_health_tells_process_from_readiness(channel: grpc.Channel) -> None:
    """Both names answer; an unknown one is NOT_FOUND."""
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE):
        status = health.Check(health_pb2.HealthCheckRequest(service=name)).status
        assert status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def services(channel: grpc.Channel) -> list[str]:
    """What reflection lists."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    (answer,) = stub.ServerReflectionInfo(requests, timeout=PATIENCE)
    return [service.name for service in answer.list_services_response.service]


def test_watchers_that_come_and_go_leave_health_alone(server: Server, channel: grpc.Channel) -> None:
    """Clients that check health on their side open a watch each, and close it with their channel."""
    asked = health_pb2.HealthCheckRequest(service=SERVICE)
    end = time.monotonic() + 1

    def come_and_go() -> None:
        with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as own:
            while time.monotonic() < end:
                watched = health_pb2_grpc.HealthStub(own).Watch(asked)
                next(watched)
                watched.cancel()

    threads = [threading.Thread(target=come_and_go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    answer = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=PATIENCE)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_calls_that_send_nothing_leave_health_alone(artifact: Artifact) -> None:
    """Callers that begin a call and do not send its message hold what they hold, but a probe is answered."""
    with running(artifact.path, "--max-concurrent-rpcs", "1") as server:
        with grpc.insecure_channel(server.target) as channel:
            hold = threading.Event()

            def nothing() -> Iterator[bytes]:
                hold.wait(PATIENCE)
                yield b""

            embed: Any = channel.stream_unary(f"/{SERVICE}/Embed")
            calls = [embed.future(nothing()) for _ in range(40)]
            asked = health_pb2.HealthCheckRequest(service=SERVICE)
            answer = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=PATIENCE)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            hold.set()
            assert all(call.exception(PATIENCE) is not None for call in calls)


def test_reflection_lists_the_services(channel: grpc.Channel) -> None:
    """A client that knows nothing of paravec finds the service, with its messages."""
    assert {SERVICE, "grpc.health.v1.Health"} <= set(services(channel))
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)])
    (answer,) = stub.ServerReflectionInfo(requests, timeout=PATIENCE)
    assert answer.file_descriptor_response.file_descriptor_proto


def test_work_stops_when_the_deadline_has_passed(server: Server, stub: Any) -> None:
    """A call that takes too long gets DEADLINE_EXCEEDED, and does not hold up those after it."""
    heavy = pb.EmbedRequest(documents=[tokens(*["fire"] * 2000)] * 64, options=pb.InferenceOptions(epochs=2000))
    for _ in range(4):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Embed(heavy, timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    # Each of the calls above would keep a thread busy for minutes.
    assert stub.Embed(pb.EmbedRequest(documents=[text("fire")]), timeout=10)


def test_too_many_calls_are_refused_at_once(artifact: Artifact) -> None:
    """Beyond max_concurrent_rpcs a call gets RESOURCE_EXHAUSTED, the reason, and when to come back. A short text is
    answered all the same."""
    batch = pb.EmbedRequest(documents=[text("a")] * 9)
    with running(artifact.path, "--max-concurrent-rpcs", "1") as server:
        with grpc.insecure_channel(server.target) as channel:
            stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            hold = threading.Event()

            def requests() -> Iterator[pb.EmbedStreamRequest]:
                yield pb.EmbedStreamRequest(document=text("fire"))
                hold.wait(PATIENCE)

            stream = stub.EmbedStream(requests())
            assert next(stream).HasField("embedding")
            error = refused(stub, batch)
            assert stub.Embed(pb.EmbedRequest(documents=[text("a")]), timeout=PATIENCE)
            hold.set()
            assert list(stream) == []
            assert stub.Embed(batch, timeout=PATIENCE)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = details(error, error_details_pb2.ErrorInfo)
    assert (reason.reason, reason.domain) == ("OVERLOADED", "paravec")
    assert details(error, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() > 0


def test_a_cancelled_stream_stops_its_work_and_gives_its_place_back(artifact: Artifact) -> None:
    """A caller who goes away in mid-stream leaves no work, no place taken, and no error in the log."""
    heavy = pb.EmbedStreamRequest(document=tokens(*["fire"] * 2000), options=pb.InferenceOptions(epochs=1000))
    with running(artifact.path, "--max-concurrent-rpcs", "1", "--threads", "1") as server:
        with grpc.insecure_channel(server.target) as channel:
            stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            for _ in range(5):
                stream = stub.EmbedStream(iter([pb.EmbedStreamRequest(document=text("fire"))] + [heavy] * 200))
                assert next(stream).HasField("embedding")
                stream.cancel()
                # The one place and the one thread are free again long before that work could be done.
                end = time.monotonic() + 10
                while True:
                    try:
                        assert stub.Embed(pb.EmbedRequest(documents=[text("a")] * 9), timeout=10).embeddings
                        break
                    except grpc.RpcError as error:
                        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                        assert time.monotonic() < end
        assert server.stop() == 0
        assert "internal error" not in server.log
        assert "Traceback" not in server.log


def test_a_short_text_does_not_wait_for_long_ones(artifact: Artifact) -> None:
    """It is answered at once while the only slot to compute in is taken, and by the same vector as ever."""
    heavy = pb.EmbedRequest(documents=[tokens(*["fire"] * 2000)] * 200, options=pb.InferenceOptions(epochs=1000))
    short = pb.EmbedRequest(documents=[text("fire in sydney")])
    with (
        running(artifact.path, "--threads", "1") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        alone = stub.Embed(short)
        working = stub.Embed.future(heavy)
        # It has the turn by then; nothing tells from outside.
        time.sleep(0.5)
        assert stub.Embed(short, timeout=30) == alone
        assert not working.done()
        working.cancel()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(artifact: Artifact, number: int) -> None:
    """Readiness goes at once, the process stays alive, a call in progress is finished, then it exits with 0."""
    with running(artifact.path) as server, grpc.insecure_channel(server.target) as channel:
        stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        watched = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        slow = pb.EmbedRequest(documents=[tokens(*["fire"] * 2000)], options=pb.InferenceOptions(epochs=1000))
        # The first answer tells that the call is in progress.
        hold = threading.Event()

        def requests() -> Iterator[pb.EmbedStreamRequest]:
            yield pb.EmbedStreamRequest(document=text("fire"))
            hold.wait(PATIENCE)
            yield pb.EmbedStreamRequest(document=slow.documents[0], options=pb.InferenceOptions(epochs=3))

        stream = stub.EmbedStream(requests())
        next(stream)
        server.process.send_signal(number)
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        hold.set()
        assert next(stream).HasField("embedding")
        assert list(stream) == []
        assert server.wait() == 0
    assert server.wait_for("draining")["reason"] == signal.Signals(number).name
    assert server.wait_for("stopped")["drained"] is True


def test_calls_during_a_drain_are_unavailable(artifact: Artifact) -> None:
    """A caller that is late hears UNAVAILABLE, so that it asks another server, and no call that was taken on fails."""
    with running(artifact.path) as server, grpc.insecure_channel(server.target) as channel:
        stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        codes: list[grpc.StatusCode] = []

        def call() -> None:
            while True:
                try:
                    stub.Embed(pb.EmbedRequest(documents=[text("fire")] * 20), timeout=PATIENCE)
                except grpc.RpcError as error:
                    codes.append(error.code())
                    return

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert stub.Embed(pb.EmbedRequest(documents=[text("fire")]), timeout=PATIENCE)
        assert server.stop() == 0
        for thread in threads:
            thread.join(PATIENCE)
    assert codes == [grpc.StatusCode.UNAVAILABLE] * 8


def test_a_drain_ends_in_time(artifact: Artifact) -> None:
    """A call that outlasts drain_seconds is cut off, and the exit code is 0 all the same."""
    with running(artifact.path, "--drain-seconds", "0.3") as server:
        with grpc.insecure_channel(server.target) as channel:
            stream = embedding_pb2_grpc.EmbeddingServiceStub(channel).EmbedStream(endless())
            next(stream)
            assert server.stop() == 0
            with pytest.raises(grpc.RpcError):
                list(stream)


def endless() -> Iterator[pb.EmbedStreamRequest]:
    """A stream that never ends."""
    while True:
        yield pb.EmbedStreamRequest(document=text("fire"))
        time.sleep(0.01)  # a slow sender; nothing waits for this


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_start_ends_it(tmp_path: Path, number: int) -> None:
    """A server that waits for its model's files is gone as soon as it is told."""
    os.mkfifo(tmp_path / "manifest.json")
    arguments = command(tmp_path, "--operations-listen", "127.0.0.1:0")
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            assert "operations" in process.stderr.readline()
            process.send_signal(number)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def failure(*arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a server that cannot start."""
    ran = subprocess.run(list(arguments), capture_output=True, text=True, check=False, timeout=PATIENCE)
    return ran.returncode, ran.stderr


def last_line(log: str) -> str:
    """The one line that is not an event."""
    plain = [line for line in log.splitlines() if not line.startswith("{")]
    assert len(plain) == 1, log
    return plain[0]


def test_a_wrong_model_is_one_clear_line(tmp_path: Path) -> None:
    """No model, a file, or a folder without a manifest: the line names it and the exit code is not 0."""
    pickled = tmp_path / "doc2vec.model"
    pickled.write_bytes(b"\x80\x04N.")
    for path, problem in (
        (tmp_path / "none", "not found"),
        (pickled, "paravec-model convert"),
        (tmp_path, "not found"),
    ):
        code, log = failure(*command(path))
        assert code == 1
        assert str(path) in last_line(log)
        assert problem in log


def test_a_damaged_model_is_found_when_asked_to_verify(artifact: Artifact, tmp_path: Path) -> None:
    """verify=full reads every byte before the server says that it is ready."""
    damaged = shutil.copytree(artifact.path, tmp_path / "model")
    content = bytearray((damaged / "syn1neg.npy").read_bytes())
    content[-100] ^= 1
    (damaged / "syn1neg.npy").write_bytes(content)
    code, log = failure(*command(damaged, "--verify", "full"))
    assert code == 1
    assert "syn1neg.npy: its SHA-256 is not the manifest's" in last_line(log)


def test_a_missing_extra_is_one_clear_line() -> None:
    """Installed as a client only, the server's command says what to install."""
    program = "import sys; sys.modules['grpc_reflection'] = None; from paravec_server.cli import main; sys.exit(main())"
    code, log = failure(sys.executable, "-c", program, "--model", "models/mine")
    assert code == 1
    assert "pip install 'paravec[server]'" in last_line(log)


def test_a_model_of_more_epochs_than_allowed_is_one_clear_line(artifact: Artifact) -> None:
    """The limit on epochs holds for the model's default too, and this is said at start."""
    code, log = failure(*command(artifact.path, "--max-epochs", "5"))
    assert code == 2
    assert "--max-epochs (PARAVEC_MAX_EPOCHS) must be at least 20, the model's default" in last_line(log)


def test_a_taken_port_is_one_clear_line(server: Server, artifact: Artifact) -> None:
    """Two servers never share a port by accident."""
    code, log = failure(*command(artifact.path), "--listen", server.target)
    assert code == 1
    assert last_line(log).startswith(f"paravec-server: cannot listen on {server.target}: ")


def test_a_wrong_setting_is_one_clear_line(artifact: Artifact) -> None:
    """A setting out of range is named with its flag and variable."""
    code, log = failure(*command(artifact.path, "--max-documents", "0"))
    assert code == 2
    assert "--max-documents (PARAVEC_MAX_DOCUMENTS) must be 1 to" in last_line(log)


def test_it_listens_on_a_unix_socket_without_reflection(artifact: Artifact, tmp_path: Path) -> None:
    """unix: addresses work, and reflection can be turned off."""
    address = f"unix:{tmp_path}/paravec.sock"
    arguments = [*command(artifact.path), "--listen", address, "--no-reflection"]
    with (
        subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as process,
        grpc.insecure_channel(address) as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=PATIENCE)
        with pytest.raises(grpc.RpcError) as caught:
            services(channel)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert not (tmp_path / "paravec.sock").exists()


def test_each_event_is_one_json_line_without_text(server: Server, stub: Any) -> None:
    """The log is JSON lines, and no document's text is ever in it."""
    secret = "grünerdrachen"
    stub.Embed(pb.EmbedRequest(documents=[text(secret)]))
    refused(stub, pb.EmbedRequest(documents=[text(secret), pb.Document()]))
    refused(stub, pb.EmbedRequest(documents=[text(f"{secret} " * 2001)]))
    for line in server.lines:
        assert {"time", "level", "event"} <= json.loads(line).keys()
    assert secret not in server.log
    assert secret.encode("ascii", "backslashreplace").decode() not in server.log
