"""The Open Inference Protocol as the real tritonclient speaks it, from an environment and a process of its own."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from paravec.v1 import embedding_pb2_grpc
from paravec_client import EmbeddingClient, InferenceOptions
from paravec_model.artifact import Artifact

from ..calls import connect, one_then_wait
from ..environments import environment
from ..servers import PATIENCE, Server, running
from ..triton import Triton, TritonError, triton

ROOT = Path(__file__).parents[2]
SERVICE = "inference.GRPCInferenceService"
TEXTS = ["The fire in Sydney spread, xyzzy!", "fire", "", "xyzzy"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def place() -> Path:
    """The virtual environment of tritonclient."""
    return environment("oip")


@pytest.fixture(scope="module")
def asker(place: Path, server: Server) -> Iterator[Triton]:
    """tritonclient, talking to the server."""
    with triton(place, server.target) as asker:
        yield asker


@pytest.fixture(scope="module")
def name(artifact: Artifact) -> str:
    """The model's name."""
    return artifact.manifest.name


def refused(asker: Triton, *arguments: Any, **named: Any) -> TritonError:
    """The error of an inference that fails."""
    with pytest.raises(TritonError) as caught:
        asker.infer(*arguments, **named)
    return caught.value


def test_tritonclient_gets_the_vectors_of_embed(asker: Triton, client: EmbeddingClient, name: str) -> None:
    """A batch gets the bits, order and counts of Embed, with the model's name and version."""
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
def test_tritonclient_may_send_texts_as_row_or_column(asker: Triton, name: str, shape: list[int]) -> None:
    """Texts of shape [n], [n, 1] or [1, n] get the same vectors."""
    answer = asker.infer(name, TEXTS, shape, outputs=["embedding"])
    assert answer["outputs"] == {"embedding": asker.infer(name, TEXTS)["outputs"]["embedding"]}


def test_tritonclient_sends_options_as_parameters(asker: Triton, client: EmbeddingClient, name: str) -> None:
    """Each inference option is a request parameter of its name; Triton's own parameters are ignored."""
    values: dict[str, Any] = {"method": "sgd", "epochs": 3, "alpha": 0.1, "min_alpha": 0.05, "seed": 7}
    for options in (values, {"method": "map", "normalize": True}, {"alpha": 1}):
        answer = asker.infer(name, ["the fire"], parameters=options, priority=1, timeout=5_000_000)
        assert answer["outputs"]["embedding"]["data"] == client.embed("the fire", InferenceOptions(**options)).tobytes()
    cut = asker.infer(name, ["fire " * 2001], parameters={"truncate": True})["outputs"]
    assert (cut["truncated"]["data"], cut["token_count"]["data"]) == (b"\1", (2001).to_bytes(4, "little"))
    assert cut["known_token_count"]["data"] == (2000).to_bytes(4, "little")


def test_tritonclient_gets_the_requested_outputs(asker: Triton, name: str) -> None:
    """Only the requested outputs come, in the requested order."""
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
def test_tritonclient_gets_status_and_field(
    asker: Triton, name: str, question: dict[str, Any], status: str, problem: str
) -> None:
    """A wrong request gets its status and a text that begins with the path of the field."""
    error = refused(asker, **{"model": name, "texts": TEXTS, **question})
    assert error.status == f"StatusCode.{status}"
    assert error.text.startswith(problem)


def test_tritonclient_reads_liveness_readiness_and_metadata(asker: Triton, artifact: Artifact, name: str) -> None:
    """Server and model are live, ready and described; an unknown model or version is NOT_FOUND."""
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


def test_work_of_a_late_tritonclient_is_stopped(asker: Triton, name: str) -> None:
    """A call past its deadline is stopped on the server and does not delay the next call."""
    for _ in range(4):
        heavy = refused(asker, name, ["fire " * 2000] * 64, parameters={"epochs": 2000}, client_timeout=0.3)
        assert heavy.status == "StatusCode.DEADLINE_EXCEEDED"
    # Each of the calls above would keep a thread busy for minutes.
    assert asker.infer(name, TEXTS, client_timeout=PATIENCE)


def test_liveness_and_readiness_are_answered_under_overload_and_drain(
    place: Path, artifact: Artifact, name: str
) -> None:
    """Under overload and in a drain inference is refused as Embed is, and liveness and readiness are still answered."""
    hold = threading.Event()
    with running(artifact.path, "--max-concurrent-rpcs", "1") as server:
        with (
            grpc.insecure_channel(server.target) as channel,
            connect(server.target) as other,
            triton(place, server.target) as asker,
        ):
            # The only place, and the one that a second caller gets beyond it.
            streams = [
                embedding_pb2_grpc.EmbeddingServiceStub(one).EmbedStream(one_then_wait(hold))
                for one in (channel, other)
            ]
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
