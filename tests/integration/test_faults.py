"""Internal errors: the encoder is made to fail inside a real gRPC server."""

import gc
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from paravec.v1 import embedding_pb2 as pb
from paravec_model.encoder import Encoder
from paravec_model.text.token_ids import TokenIds
from paravec_server.rpc.admission import Admission
from paravec_server.rpc.call import Call, CallResult
from paravec_server.rpc.dispatcher import Dispatcher
from paravec_server.rpc.fast_path.completion_queue import CallContext
from paravec_server.rpc.read_ahead import _Buffer
from paravec_server.rpc.server import RpcServer
from paravec_server.services.embedding import SERVICE, EmbeddingService
from paravec_server.services.health import HEALTH, Health
from paravec_server.services.inference import Inference
from paravec_server.settings import Settings
from paravec_server.telemetry.counters import SharedCounters
from paravec_server.telemetry.logs import _JsonFormatter

from ..calls import started, stub_of
from ..servers import PATIENCE, compute_slots, until

SECRET = "grünerdrachen"


class Broken:
    """An encoder with a fault, whose message quotes the document."""

    def __init__(self, encoder: Encoder) -> None:
        self.manifest = encoder.manifest
        self.tokenize, self.defaults, self.methods = encoder.tokenize, encoder.defaults, encoder.methods
        self.is_short = encoder.is_short

    def estimate_seconds(self, *_: Any) -> float:
        """Estimate no time."""
        return 0.0

    def to_token_ids(self, documents: list[str], *_: Any) -> None:
        """Fail."""
        raise RuntimeError(f"cannot do {documents}")


class Fastidious:
    """An encoder that fails for one word."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def to_token_ids(self, documents: list[str], *rest: Any) -> TokenIds:
        """Fail if the word is there."""
        if SECRET in documents:
            raise RuntimeError(f"cannot do {documents}")
        return self._encoder.to_token_ids(documents, *rest)


def build(encoder: Any = None) -> tuple[EmbeddingService, Dispatcher]:
    """The embedding service with this encoder, or none yet, and its dispatcher."""
    settings, row = Settings(model=Path("m")), SharedCounters().workers[0]
    admission = Admission(settings, row)
    inference = Inference(settings, row, compute_slots())
    service = EmbeddingService(settings, inference, admission)
    if encoder:
        inference.encoder = encoder
        service.serve(encoder)
        admission.open()
    return service, Dispatcher(service.methods(), admission, row)


@contextmanager
def serving(encoder: Any = None) -> Iterator[Any]:
    """A stub that talks to a server with this encoder, or with none yet."""
    with started(RpcServer(build(encoder)[1], compute_slots(4))) as target, stub_of(target) as stub:
        yield stub


@pytest.fixture(params=["direct", "grpcio"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls come straight from gRPC's core or, where grpcio is not as that needs it, by grpcio's own server."""
    if request.param == "grpcio":
        monkeypatch.setattr("paravec_server.rpc.server.is_supported", lambda _: False)


def test_the_direct_path_is_used_with_this_grpcio(request: pytest.FixtureRequest) -> None:
    """The installed grpcio serves calls from the completion queue, which is twice as fast as grpcio's own server."""
    server = RpcServer(build()[1], compute_slots(1))
    assert server.has_fast_path == ("direct" in request.node.callspec.id)


def test_an_internal_error_has_an_id_and_no_document_text(encoder: Encoder, caplog: pytest.LogCaptureFixture) -> None:
    """INTERNAL carries an id that the log has with the place of the fault; neither contains the document's text."""
    document = pb.Document(text=SECRET)
    with caplog.at_level(logging.INFO, "paravec_server"), serving(Broken(encoder)) as stub:
        with pytest.raises(grpc.RpcError) as caught:
            stub.Embed(pb.EmbedRequest(documents=[document]))
        error: Any = caught.value
        answers = list(stub.EmbedStream(iter([pb.EmbedStreamRequest(document=document)] * 2)))
    assert error.code() is grpc.StatusCode.INTERNAL
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    told = error_details_pb2.RequestInfo()
    assert status.details[0].Unpack(told)
    assert told.request_id in error.details()
    assert [answer.error.code for answer in answers] == [grpc.StatusCode.INTERNAL.value[0]] * 2
    lines = [_JsonFormatter().format(record) for record in caplog.records]
    events = [json.loads(line) for line in lines]
    assert told.request_id in [event["request_id"] for event in events]
    assert all(event["error"] == "RuntimeError" and "Broken.to_token_ids" in event["at"] for event in events)
    for line in [*lines, error.details(), caplog.text, *(answer.error.message for answer in answers)]:
        assert SECRET not in line
        assert "cannot do" not in line


def test_a_failing_call_of_a_batch_fails_alone(encoder: Encoder) -> None:
    """Of short texts inferred together, only the call whose text fails gets the error."""
    with serving(Fastidious(encoder)) as stub:
        futures = [
            stub.Embed.future(pb.EmbedRequest(documents=[pb.Document(text=text)]))
            for text in ["fire", SECRET, "police"] * 20
        ]
        codes = [future.code() for future in futures]
    assert codes == [grpc.StatusCode.OK, grpc.StatusCode.INTERNAL, grpc.StatusCode.OK] * 20
    fire, police = (vector.tolist() for vector in encoder.encode(["fire", "police"]).vectors)
    assert all(future.result().embeddings[0].vector == fire for future in futures[::3])
    assert all(future.result().embeddings[0].vector == police for future in futures[2::3])


def test_a_response_that_cannot_be_serialized_fails_its_call_alone(
    encoder: Encoder, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller gets an error; other calls, at the same time and later, are answered."""
    if "direct" not in request.node.callspec.id:
        pytest.skip("grpcio sends its answers itself")
    send = CallContext.send

    def stumble(exchange: CallContext, answer: CallResult) -> None:
        if answer.response and len(pb.EmbedResponse.FromString(answer.response).embeddings) == 4:
            raise RuntimeError("cannot send")
        send(exchange, answer)

    admissions: list[Admission] = []
    leave = Admission.leave

    def noted(admission: Admission, *held: Any) -> None:
        admissions.append(admission)
        leave(admission, *held)

    monkeypatch.setattr(Admission, "leave", noted)
    monkeypatch.setattr(CallContext, "send", stumble)
    document = pb.Document(text="fire")
    with serving(encoder) as stub:
        for _ in range(2):
            futures = [stub.Embed.future(pb.EmbedRequest(documents=[document] * n)) for n in [1, 1, 4, 1] * 10]
            codes = [future.code() for future in futures]
            ok = grpc.StatusCode.OK
            assert codes == [ok, ok, grpc.StatusCode.INTERNAL, ok] * 10
    assert all(admission.wait_until_idle(PATIENCE) for admission in admissions)


@pytest.mark.parametrize("step", ["receive", "watch", "peer", "add_callback", "time_remaining"])
def test_a_failure_anywhere_ends_the_call_and_frees_its_place(
    encoder: Encoder, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Wherever a call fails, its caller gets an error at once and nothing stays in flight."""
    if "direct" not in request.node.callspec.id:
        pytest.skip("grpcio calls our code in one place, which other tests make fail")

    def stumble(*_: Any) -> None:
        raise TypeError("of another shape")

    admissions: list[Admission] = []
    enter = Admission.enter
    monkeypatch.setattr(Admission, "enter", lambda one: admissions.append(one) or enter(one))  # type: ignore[func-returns-value]
    with serving(encoder) as stub:
        with monkeypatch.context() as broken:
            broken.setattr(CallContext, step, stumble)
            futures = [stub.Embed.future(pb.EmbedRequest(documents=[pb.Document(text="a")] * n)) for n in [1, 9] * 5]
            # Some do not come to what fails.
            told = {future.code() for future in futures}
            assert told <= {grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED, grpc.StatusCode.OK}
        assert stub.Embed(pb.EmbedRequest(documents=[pb.Document(text="a")]), timeout=PATIENCE)
        assert admissions
        assert all(one.wait_until_idle(PATIENCE) for one in admissions)


def test_a_status_that_cannot_be_made_ends_the_call(
    encoder: Encoder, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If even the status of a failed call cannot be made, the caller does not wait for its deadline."""
    if "direct" not in request.node.callspec.id:
        pytest.skip("grpcio ends such a call itself")

    def stumble(*_: Any) -> None:
        raise TypeError("of another shape")

    monkeypatch.setattr(Dispatcher, "_failure", stumble)
    with serving(encoder) as stub:
        call = stub.Embed.future(pb.EmbedRequest(), timeout=10)
        assert call.code() is grpc.StatusCode.CANCELLED


def test_a_failed_batch_counts_no_documents(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that run again one by one after their batch failed log each document once."""
    _, dispatcher = build(encoder)
    method = dispatcher.methods[f"/{SERVICE}/Embed"]
    batcher: Any = method.batcher
    write, written = batcher._write_response, iter((True, False))

    def stumble(*arguments: Any) -> Any:
        if not next(written):
            raise RuntimeError("cannot write")
        return write(*arguments)

    message = pb.EmbedRequest(documents=[pb.Document(text="fire")]).SerializeToString()
    calls = [dispatcher.begin(f"/{SERVICE}/Embed", ())[1] for _ in range(2)]
    assert all(batcher.batch_key(call, message) is not None for call in calls)
    monkeypatch.setattr(batcher, "_write_response", stumble)
    assert dispatcher.run_batch(batcher, calls) is None
    assert [(call.documents, call.tokens) for call in calls] == [(0, 0), (0, 0)]


def test_a_short_call_that_waited_too_long_is_refused(encoder: Encoder, request: pytest.FixtureRequest) -> None:
    """A short call that has waited longer than max-wait-seconds is refused instead of computed."""
    if "direct" not in request.node.callspec.id:
        pytest.skip("grpcio's server answers short calls without a queue of ours")
    with (
        started(RpcServer(build(encoder)[1], compute_slots(4), max_wait=-1.0)) as target,
        stub_of(target) as stub,
    ):
        call = stub.Embed.future(pb.EmbedRequest(documents=[pb.Document(text="fire")]), timeout=PATIENCE)
        assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_short_call_past_its_deadline_is_not_computed(
    encoder: Encoder, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short call whose deadline passes while it waits ends as DEADLINE_EXCEEDED."""
    if "direct" not in request.node.callspec.id:
        pytest.skip("grpcio's server answers short calls without a queue of ours")
    monkeypatch.setattr(CallContext, "time_remaining", lambda _: 0.0)
    with serving(encoder) as stub:
        call = stub.Embed.future(pb.EmbedRequest(documents=[pb.Document(text="fire")]), timeout=PATIENCE)
        assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


class BrokenTracing:
    """Fails where it is told to."""

    def __init__(self, where: str) -> None:
        self._where = where

    def begin(self, *_: Any) -> Any:
        """A span."""
        if self._where == "begin":
            raise RuntimeError("no span")
        return self

    log_fields: ClassVar[dict[str, str]] = {}

    def end(self, *_: Any, **__: Any) -> None:
        """End the span."""
        raise RuntimeError("no end")


@pytest.mark.parametrize(("where", "code"), [("begin", "INTERNAL"), ("end", "OK")])
def test_a_failing_tracer_leaves_nothing_in_flight(encoder: Encoder, where: str, code: str) -> None:
    """A call whose span cannot begin fails, and a call whose span cannot end is answered."""
    settings, row = Settings(model=Path("m")), SharedCounters().workers[0]
    admission = Admission(settings, row)
    inference = Inference(settings, row, compute_slots())
    service = EmbeddingService(settings, inference, admission)
    inference.encoder = encoder
    service.serve(encoder)
    admission.open()
    tracing: Any = BrokenTracing(where)
    server = RpcServer(Dispatcher(service.methods(), admission, row, tracing=tracing), compute_slots(4))
    with started(server) as target, stub_of(target) as stub:
        for documents in (1, 9):
            call = stub.Embed.future(pb.EmbedRequest(documents=[pb.Document(text="a")] * documents))
            assert call.code().name == code
        assert admission.wait_until_idle(PATIENCE)


def test_calls_before_the_model_is_loaded_are_unavailable() -> None:
    """A server that is still loading answers UNAVAILABLE, and answers calls once it has loaded."""
    with serving() as stub:
        for call in (
            lambda: stub.Embed(pb.EmbedRequest(documents=[pb.Document(text="a")])),
            lambda: stub.GetModel(pb.GetModelRequest()),
            lambda: next(stub.EmbedStream(iter([pb.EmbedStreamRequest()]))),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call()  # type: ignore[no-untyped-call]
            error: Any = caught.value
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert error.details() == "the model is loading"


def test_unknown_fields_of_options_are_not_kept(encoder: Encoder) -> None:
    """Options are remembered by what they mean; a caller's junk, of up to a message's size, must not pile up."""
    service, _ = build(encoder)
    for junk in (b"a", b"bc"):
        unknown = b"\xfa\x07" + bytes([len(junk)]) + junk
        service._options(pb.InferenceOptions.FromString(unknown))
    assert service._options.read.cache_info().currsize == 1


def test_a_cancelled_calls_messages_are_freed_at_once(encoder: Encoder) -> None:
    """The messages of a cancelled call are freed without waiting for the garbage collector."""
    one = pb.EmbedStreamRequest(document=pb.Document(text="fire police sydney " * 50))
    mute = threading.Event()
    gc.collect()
    gc.disable()
    try:
        with serving(encoder) as stub:
            for _ in range(3):
                stream = stub.EmbedStream(iter(lambda: one, None))
                next(stream)
                stream.cancel()
                says_nothing = stub.EmbedStream(iter(mute.wait, True))
                # It has reached the server by then; nothing tells from outside.
                time.sleep(0.1)
                says_nothing.cancel()
            until(lambda: not any(isinstance(thing, Call | _Buffer) for thing in gc.get_objects()))
    finally:
        mute.set()
        gc.enable()


def test_a_health_watch_cancelled_early_holds_no_thread() -> None:
    """A watch that ends before its handler runs does not hold a thread, as grpcio's servicer would."""

    class Ended:
        def add_callback(self, _: Any) -> bool:
            return False

    health = Health(SERVICE)
    call = Call("Watch", "id", (), Admission(Settings(model=Path("m")), SharedCounters().workers[0]))
    call.context = Ended()
    watch = health.methods()[f"/{HEALTH}/Watch"]
    answers = list(watch.handler(call, health_pb2.HealthCheckRequest(service=SERVICE).SerializeToString()))
    not_serving = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)
    assert answers == [not_serving.SerializeToString()]
