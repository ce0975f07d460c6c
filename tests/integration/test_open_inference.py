"""The Open Inference Protocol with messages of our own; tritonclient's are in test_tritonclient."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import given, settings
from hypothesis import strategies as st

from paravec.inference.v2 import open_inference_pb2 as oip
from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact
from paravec_server.rpc.admission import Admission
from paravec_server.rpc.dispatcher import Dispatcher
from paravec_server.rpc.server import RpcServer
from paravec_server.services.inference import Inference
from paravec_server.services.open_inference import OpenInferenceService
from paravec_server.settings import Settings
from paravec_server.telemetry.counters import CODES, SharedCounters

from ..calls import details, started
from ..servers import PATIENCE, compute_slots

ROOT = Path(__file__).parents[2]
SERVICE = "inference.GRPCInferenceService"
TEXTS = ["The fire in Sydney spread, xyzzy!", "fire", "", "xyzzy"]


@pytest.fixture(scope="module")
def name(artifact: Artifact) -> str:
    """The model's name."""
    return artifact.manifest.name


def call(channel: grpc.Channel, method: str, request: Any, answer: Any) -> Any:
    """One call with our own messages, or bytes."""
    data = request if isinstance(request, bytes) else request.SerializeToString()
    ask: Any = channel.unary_unary(f"/{SERVICE}/{method}", response_deserializer=answer.FromString)
    return ask(data, timeout=PATIENCE)


def test_a_loading_server_is_live_and_not_ready() -> None:
    """A server that is still loading is live and not ready, and so is every model name."""
    limits, row = Settings(model=Path("m")), SharedCounters().workers[0]
    admission = Admission(limits, row)
    service = OpenInferenceService(limits, Inference(limits, row, compute_slots()), admission, lambda: True)
    server = RpcServer(Dispatcher(service.methods(), admission, row), compute_slots(4))
    with started(server) as target, grpc.insecure_channel(target) as channel:
        assert call(channel, "ServerLive", b"", oip.ServerLiveResponse).live
        assert not call(channel, "ServerReady", b"", oip.ServerReadyResponse).ready
        assert not call(channel, "ModelReady", oip.ModelReadyRequest(name="any"), oip.ModelReadyResponse).ready
        for method, answer in (("ModelMetadata", oip.ModelMetadataResponse), ("ModelInfer", oip.ModelInferResponse)):
            with pytest.raises(grpc.RpcError) as caught:
                call(channel, method, b"", answer)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
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


def test_bytes_contents_are_accepted(channel: grpc.Channel, client: EmbeddingClient, name: str) -> None:
    """Texts in bytes_contents, as generated stubs send them, are embedded, with KServe's and MLServer's parameters
    beside them."""
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
def test_no_generated_request_causes_an_internal_error(
    channel: grpc.Channel, name: str, request_: oip.ModelInferRequest
) -> None:
    """Any combination of request parts is answered or is INVALID_ARGUMENT."""
    request_.model_name = name
    assert outcome(channel, request_.SerializeToString()) in EXPECTED


@settings(max_examples=300)
@given(any_request(), st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=3)), min_size=1, max_size=4))
def test_no_damaged_request_causes_an_internal_error(
    channel: grpc.Channel, name: str, request_: oip.ModelInferRequest, changes: list[tuple[int, bytes]]
) -> None:
    """A request with damaged bytes is answered or is INVALID_ARGUMENT."""
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
def test_another_registered_copy_of_the_protocol_does_not_clash(order: tuple[str, str]) -> None:
    """A program may import the server and a library with the same message names in either order."""
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
