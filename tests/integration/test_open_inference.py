"""The Open Inference Protocol: by the real tritonclient in a process of its own, and by messages of any kind."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from benchmarks.environments import InstallError, install
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import given, settings
from hypothesis import strategies as st

from paravec.inference.v2 import open_inference_pb2 as oip
from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc
from paravec_client import EmbeddingClient, InferenceOptions
from paravec_model.artifact import Artifact
from paravec_server.rpc.admission import Admission
from paravec_server.rpc.dispatcher import Dispatcher
from paravec_server.rpc.server import RpcServer
from paravec_server.services.inference import Inference
from paravec_server.services.open_inference import OpenInferenceService
from paravec_server.settings import Settings
from paravec_server.telemetry.counters import CODES, SharedCounters

from ..servers import PATIENCE, Server, running
from ..triton import Triton, TritonError, triton
from .test_server import details

ROOT = Path(__file__).parents[2]
SERVICE = "inference.GRPCInferenceService"
TEXTS = ["The fire in Sydney spread, xyzzy!", "fire", "", "xyzzy"]


@pytest.fixture(scope="session")
def place() -> Path:
    """The virtual environment of tritonclient."""
    try:
        return install(ROOT / "requirements/oip.lock", ROOT / "build/oip")
    except InstallError as error:
        pytest.skip(f"tritonclient {error}")


@pytest.fixture(scope="module")
def asker(place: Path, server: Server) -> Iterator[Triton]:
    """tritonclient, talking to the server."""
    with triton(place, server.target) as asker:
        yield asker


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    """A channel to the server."""
    with grpc.insecure_channel(server.target) as channel:
        yield channel


@pytest.fixture(scope="module")
def name(artifact: Artifact) -> str:
    """The model's name."""
    return artifact.manifest.name


def refused(asker: Triton, *arguments: Any, **named: Any) -> TritonError:
    """The error of an inference that fails."""
    with pytest.raises(TritonError) as caught:
        asker.infer(*arguments, **named)
    return caught.value


def call(channel: grpc.Channel, method: str, request: Any, answer: Any) -> Any:
    """One call with our own messages, or bytes."""
    data = request if isinstance(request, bytes) else request.SerializeToString()
    ask: Any = channel.unary_unary(f"/{SERVICE}/{method}", response_deserializer=answer.FromString)
    return ask(data, timeout=PATIENCE)


def test_triton_gets_the_vectors_of_embed(asker: Triton, client: EmbeddingClient, name: str) -> None:
    """A batch gives the bits, in order, and the counts that Embed gives, and names the model."""
    answer = asker.infer(name, TEXTS, request_id="mine")
    expected = client.embed_all(TEXTS)
    outputs = answer["outputs"]
    assert outputs["embedding"]["datatype"] == "FP32"
    assert outputs["embedding"]["shape"] == [4, 50]
    assert outputs["embedding"]["data"] == b"".join(one.vector.tobytes() for one in expected)
    for field in ("token_count", "known_token_count"):
        assert (outputs[field]["datatype"], outputs[field]["shape"]) == ("INT32", [4])
        assert np.frombuffer(outputs[field]["data"], "<i4").tolist() == [getattr(one, field) for one in expected]
    assert (outputs["truncated"]["datatype"], outputs["truncated"]["data"]) == ("BOOL", bytes(4))
    model = client.model()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == (model.name, model.version, "mine")
    assert answer["parameters"]["digest"]["string_param"] == model.digest


@pytest.mark.parametrize("shape", [[4], [4, 1], [1, 4]])
def test_triton_may_shape_its_texts_as_models_of_others_want(asker: Triton, name: str, shape: list[int]) -> None:
    """A column and a row of texts are taken as a list of them is."""
    answer = asker.infer(name, TEXTS, shape, outputs=["embedding"])
    assert answer["outputs"] == {"embedding": asker.infer(name, TEXTS)["outputs"]["embedding"]}


def test_triton_gives_options_as_parameters(asker: Triton, client: EmbeddingClient, name: str) -> None:
    """Each option has its name of paravec.v1; what Triton's clients send besides does no harm."""
    values: dict[str, Any] = {"method": "sgd", "epochs": 3, "alpha": 0.1, "min_alpha": 0.05, "seed": 7}
    for options in (values, {"method": "map", "normalize": True}, {"alpha": 1}):
        answer = asker.infer(name, ["the fire"], parameters=options, priority=1, timeout=5_000_000)
        assert answer["outputs"]["embedding"]["data"] == client.embed("the fire", InferenceOptions(**options)).tobytes()
    cut = asker.infer(name, ["fire " * 2001], parameters={"truncate": True})["outputs"]
    assert (cut["truncated"]["data"], cut["token_count"]["data"]) == (b"\1", (2001).to_bytes(4, "little"))
    assert cut["known_token_count"]["data"] == (2000).to_bytes(4, "little")


def test_triton_gets_the_outputs_it_asks_for(asker: Triton, name: str) -> None:
    """In its order, and no others."""
    outputs = asker.infer(name, ["fire"], outputs=["token_count", "embedding"])["outputs"]
    assert list(outputs) == ["token_count", "embedding"]


@pytest.mark.parametrize(
    ("question", "status", "problem"),
    [
        ({"model": "another"}, "NOT_FOUND", "no such model"),
        ({"model_version": "none"}, "NOT_FOUND", "no such version"),
        ({"input": "TEXT"}, "INVALID_ARGUMENT", "inputs[0].name"),
        ({"shape": [2, 2]}, "INVALID_ARGUMENT", "inputs[0].shape"),
        ({"shape": [4, 1, 1]}, "INVALID_ARGUMENT", "inputs[0].shape"),
        ({"texts": ["a"] * 65}, "INVALID_ARGUMENT", "inputs[0].shape"),
        ({"texts": ["a", "fire " * 2001]}, "INVALID_ARGUMENT", "raw_input_contents[0][1]"),
        ({"outputs": ["vector"]}, "INVALID_ARGUMENT", "outputs[0].name"),
        ({"outputs": ["embedding", "embedding"]}, "INVALID_ARGUMENT", "outputs[1].name"),
        ({"parameters": {"epoch": 3}}, "INVALID_ARGUMENT", "parameters: 'epoch' is not one of method, epochs"),
        ({"parameters": {"epochs": True}}, "INVALID_ARGUMENT", "parameters.epochs: must be an integer"),
        ({"parameters": {"epochs": 2001}}, "INVALID_ARGUMENT", "parameters.epochs"),
        ({"parameters": {"seed": -1}}, "INVALID_ARGUMENT", "parameters.seed"),
        ({"parameters": {"alpha": 7.0}}, "INVALID_ARGUMENT", "parameters.alpha"),
        ({"parameters": {"method": "adam"}}, "INVALID_ARGUMENT", "parameters.method: must be sgd or map"),
    ],
)
def test_triton_hears_what_is_wrong(
    asker: Triton, name: str, question: dict[str, Any], status: str, problem: str
) -> None:
    """The status, and a text that begins with the path of the field at fault."""
    error = refused(asker, **{"model": name, "texts": TEXTS, **question})
    assert error.status == f"StatusCode.{status}"
    assert error.text.startswith(problem)


def test_triton_sees_what_the_server_is(asker: Triton, artifact: Artifact, name: str) -> None:
    """Server and model are alive, ready and described; a version may be left out, another is not found."""
    version = artifact.manifest.version
    assert asker.ask("is_server_live")
    assert asker.ask("is_server_ready")
    assert asker.ask("is_model_ready", name)
    assert asker.ask("is_model_ready", name, version)
    assert asker.ask("get_server_metadata")["name"] == "paravec"
    model = asker.ask("get_model_metadata", name)
    assert (model["name"], model["versions"]) == (name, [version])
    assert model["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": ["-1"]}]
    assert model["outputs"][0] == {"name": "embedding", "datatype": "FP32", "shape": ["-1", "50"]}
    assert [output["name"] for output in model["outputs"]][1:] == ["token_count", "known_token_count", "truncated"]
    for method in ("is_model_ready", "get_model_metadata"):
        for arguments in (("another",), (name, "none")):
            with pytest.raises(TritonError, match="NOT_FOUND"):
                asker.ask(method, *arguments)


def test_triton_gives_up_and_so_does_the_server(asker: Triton, name: str) -> None:
    """Work whose deadline has passed is stopped, and does not hold up what comes after it."""
    for _ in range(4):
        heavy = refused(asker, name, ["fire " * 2000] * 64, parameters={"epochs": 2000}, client_timeout=0.3)
        assert heavy.status == "StatusCode.DEADLINE_EXCEEDED"
    # Each of the calls above would keep a thread busy for minutes.
    assert asker.infer(name, TEXTS, client_timeout=10)


def test_triton_is_answered_under_overload_and_in_a_drain(place: Path, artifact: Artifact, name: str) -> None:
    """Inference is refused as Embed is; whether server and model live and are ready is told all the same."""
    hold = threading.Event()

    def requests() -> Iterator[pb.EmbedStreamRequest]:
        yield pb.EmbedStreamRequest(document=pb.Document(text="fire"))
        hold.wait(PATIENCE)

    with running(artifact.path, "--max-concurrent-rpcs", "1") as server:
        with (
            grpc.insecure_channel(server.target) as channel,
            grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as other,
            triton(place, server.target) as asker,
        ):
            # The only place, and the one that a second caller gets beyond it.
            streams = [embedding_pb2_grpc.EmbeddingServiceStub(one).EmbedStream(requests()) for one in (channel, other)]
            for stream in streams:
                next(stream)
            assert refused(asker, name, TEXTS * 9).status == "StatusCode.RESOURCE_EXHAUSTED"
            assert asker.infer(name, TEXTS)
            assert asker.ask("is_server_live")
            assert asker.ask("is_server_ready")
            assert asker.ask("is_model_ready", name)
            assert asker.ask("get_model_metadata", name)
            watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
            assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
            server.process.send_signal(signal.SIGTERM)
            assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
            server.wait_for("draining")
            assert asker.ask("is_server_live")
            # Health is told first, and this a moment later.
            while asker.ask("is_server_ready"):
                pass
            assert not asker.ask("is_model_ready", name)
            assert refused(asker, name, TEXTS).status == "StatusCode.UNAVAILABLE"
            hold.set()
            assert [list(stream) for stream in streams] == [[], []]
            assert server.wait() == 0


def test_before_the_model_is_ready_it_is_not_an_error_to_ask() -> None:
    """A server that still loads is alive and not ready, and so is whatever model one asks for."""
    limits, row = Settings(model=Path("m")), SharedCounters().workers[0]
    admission = Admission(limits, row)
    service = OpenInferenceService(limits, Inference(limits, row), admission, lambda: True)
    server = RpcServer(Dispatcher(service.methods(), admission, row), ThreadPoolExecutor(4))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert call(channel, "ServerLive", b"", oip.ServerLiveResponse).live
        assert not call(channel, "ServerReady", b"", oip.ServerReadyResponse).ready
        assert not call(channel, "ModelReady", oip.ModelReadyRequest(name="any"), oip.ModelReadyResponse).ready
        for method, answer in (("ModelMetadata", oip.ModelMetadataResponse), ("ModelInfer", oip.ModelInferResponse)):
            with pytest.raises(grpc.RpcError) as caught:
                call(channel, method, b"", answer)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    server.stop(None).wait()
    codes, _, _ = row.calls("ModelInfer")
    assert {code: n for code, n in zip(CODES, codes, strict=True) if n} == {grpc.StatusCode.UNAVAILABLE: 1}


def typed(name: str, *texts: bytes, shape: tuple[int, ...] = (), **tensor: Any) -> oip.ModelInferRequest:
    """A request with its texts in bytes_contents."""
    request = oip.ModelInferRequest(model_name=name)
    added = request.inputs.add(**{"name": "text", "datatype": "BYTES", "shape": shape or [len(texts)], **tensor})
    added.contents.bytes_contents.extend(texts)
    return request


def raw(name: str, *contents: bytes, shape: tuple[int, ...] = (1,)) -> oip.ModelInferRequest:
    """A request with raw contents."""
    request = oip.ModelInferRequest(model_name=name, raw_input_contents=contents)
    request.inputs.add(name="text", datatype="BYTES", shape=shape)
    return request


def test_typed_contents_are_taken_too(channel: grpc.Channel, client: EmbeddingClient, name: str) -> None:
    """bytes_contents, as generated stubs send them, with what KServe and MLServer say beside them."""
    request = typed(name, b"the fire", "fuoco è".encode())
    request.inputs[0].parameters["content_type"].string_param = "str"
    request.inputs[0].parameters["binary_data_size"].int64_param = 3
    answer = call(channel, "ModelInfer", request, oip.ModelInferResponse)
    assert answer.raw_output_contents[0] == client.embed(["the fire", "fuoco è"]).tobytes()


def wrong_requests(name: str) -> Iterator[tuple[str, oip.ModelInferRequest]]:
    """Requests that tritonclient does not make, and the path of the field at fault."""
    yield "inputs", oip.ModelInferRequest(model_name=name)
    twice = typed(name, b"a")
    twice.inputs.append(twice.inputs[0])
    yield "inputs", twice
    yield "inputs[0].datatype", typed(name, b"a", datatype="FP32")
    yield "inputs[0].shape", typed(name, b"a", shape=(-1,))
    yield "inputs[0].shape", typed(name, b"a", shape=(0,))
    yield "inputs[0].shape", typed(name, b"a", shape=(-1, -1))
    yield "inputs[0].shape", typed(name, shape=())
    yield "inputs[0].contents.bytes_contents", typed(name, b"a", shape=(2,))
    yield "inputs[0].contents.bytes_contents[1]", typed(name, b"a", b"\xc3\x28")
    floats = typed(name, b"a")
    floats.inputs[0].contents.fp32_contents.append(1)
    yield "inputs[0].contents", floats
    both = typed(name, b"a")
    both.raw_input_contents.append(b"\1\0\0\0a")
    yield "inputs[0].contents", both
    shared = typed(name, b"a")
    shared.inputs[0].parameters["shared_memory_region"].string_param = "mine"
    yield "inputs[0].parameters", shared
    classes = typed(name, b"a")
    classes.outputs.add(name="embedding").parameters["classification"].int64_param = 3
    yield "outputs[0].parameters", classes
    yield "raw_input_contents", raw(name, b"\1\0\0\0a", b"\1\0\0\0a")
    for content in (b"", b"\1\0\0", b"\2\0\0\0a", b"\xff\xff\xff\xffa", b"\1\0\0\0ab"):
        yield "raw_input_contents[0]", raw(name, content)
    yield "raw_input_contents[0][0]", raw(name, b"\1\0\0\0\xff")
    for option in ("epochs", "method", "normalize"):
        empty = typed(name, b"a")
        empty.parameters[option].SetInParent()
        yield f"parameters.{option}", empty
    nan = typed(name, b"a")
    nan.parameters["alpha"].double_param = float("nan")
    yield "parameters.alpha", nan
    huge = typed(name, b"a")
    huge.parameters["epochs"].uint64_param = 2**64 - 1
    yield "parameters.epochs", huge
    long = typed(name, b"a")
    long.parameters["\n" * 100_000].bool_param = True
    yield "parameters", long


def test_a_bad_request_names_its_field(channel: grpc.Channel, name: str) -> None:
    """INVALID_ARGUMENT carries a BadRequest with the path of the field at fault."""
    for field, request in wrong_requests(name):
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, "ModelInfer", request, oip.ModelInferResponse)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, field
        assert details(caught.value, error_details_pb2.BadRequest).field_violations[0].field == field


WORDS = st.sampled_from(
    ["text", "embedding", "BYTES", "FP32", "epochs", "alpha", "seed", "method", "map", "\0", "é", ""]
)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 3)
PARAMETERS = st.dictionaries(
    WORDS,
    st.builds(oip.InferParameter)
    | st.builds(oip.InferParameter, bool_param=st.booleans())
    | st.builds(oip.InferParameter, int64_param=NUMBERS)
    | st.builds(oip.InferParameter, uint64_param=st.integers(0, 2**64 - 1))
    | st.builds(oip.InferParameter, double_param=st.floats())
    | st.builds(oip.InferParameter, string_param=WORDS),
    max_size=3,
)
SHAPES = st.just([1]) | st.lists(NUMBERS, max_size=3)
RAW = st.binary(max_size=12) | st.binary(max_size=40).map(lambda data: len(data).to_bytes(4, "little") + data)


@st.composite
def any_request(draw: st.DrawFn) -> oip.ModelInferRequest:
    """Requests of which each part may be right or wrong, but for the name."""
    request = oip.ModelInferRequest(id=draw(WORDS), raw_input_contents=draw(st.lists(RAW, max_size=2)))
    for key, value in draw(PARAMETERS).items():
        request.parameters[key].CopyFrom(value)
    for _ in range(draw(st.integers(0, 4)) and draw(st.integers(1, 2))):
        tensor = request.inputs.add(
            name=draw(st.just("text") | WORDS), datatype=draw(st.just("BYTES") | WORDS), shape=draw(SHAPES)
        )
        tensor.contents.bytes_contents.extend(draw(st.lists(st.binary(max_size=20), max_size=2)))
    for _ in range(draw(st.integers(0, 2))):
        request.outputs.add(name=draw(WORDS))
    return request


def outcome(channel: grpc.Channel, data: bytes) -> grpc.StatusCode:
    """What becomes of a call of ModelInfer."""
    try:
        call(channel, "ModelInfer", data, oip.ModelInferResponse)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


EXPECTED = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


@settings(max_examples=300)
@given(any_request())
def test_no_request_is_a_fault_of_ours(channel: grpc.Channel, name: str, request_: oip.ModelInferRequest) -> None:
    """Whatever the parts of a request are, it is answered or the caller's fault."""
    request_.model_name = name
    assert outcome(channel, request_.SerializeToString()) in EXPECTED


@settings(max_examples=300)
@given(any_request(), st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=3)), min_size=1, max_size=4))
def test_no_damaged_request_is_a_fault_of_ours(
    channel: grpc.Channel, name: str, request_: oip.ModelInferRequest, changes: list[tuple[int, bytes]]
) -> None:
    """Whatever becomes of its bytes on the way, it is answered or the caller's fault."""
    request_.model_name = name
    data = bytearray(request_.SerializeToString())
    for place, change in changes:
        at = place % (len(data) + 1)
        data[at : at + 1] = change
    assert outcome(channel, bytes(data)) in EXPECTED


def test_reflection_and_health_know_the_service(channel: grpc.Channel) -> None:
    """A client that knows nothing of the protocol finds the service with its messages, and its readiness."""
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="google.rpc.BadRequest"),
    ]
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    listed, ours, google = stub.ServerReflectionInfo(iter(requests), timeout=PATIENCE)
    assert SERVICE in [service.name for service in listed.list_services_response.service]
    (file,) = map(descriptor_pb2.FileDescriptorProto.FromString, ours.file_descriptor_response.file_descriptor_proto)
    assert (file.package, file.service[0].name) == ("inference", "GRPCInferenceService")
    assert google.file_descriptor_response.file_descriptor_proto
    asked = health_pb2.HealthCheckRequest(service=SERVICE)
    answer = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=PATIENCE)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("order", [("theirs", "ours"), ("ours", "theirs")])
def test_another_copy_of_the_protocol_is_no_clash(order: tuple[str, str]) -> None:
    """A program may load the server and a library that registers messages of the same names, in either order."""
    file = descriptor_pb2.FileDescriptorProto.FromString(oip.DESCRIPTOR.serialized_pb)
    file.name = "grpc_service.proto"
    steps = {
        "theirs": "from google.protobuf import descriptor_pool, message_factory as factory;"
        f"pool = descriptor_pool.Default(); pool.AddSerializedFile({file.SerializeToString()!r});"
        "theirs = factory.GetMessageClass(pool.FindMessageTypeByName('inference.ModelInferRequest'))",
        "ours": "from paravec_server.services.open_inference import oip; import paravec_server.app",
    }
    code = ";".join(steps[step] for step in order)
    code += ";sent = theirs(model_name='a'); sent.parameters['epochs'].int64_param = 3;"
    code += "assert oip.ModelInferRequest.FromString(sent.SerializeToString()).parameters['epochs'].int64_param == 3"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
