"""The Node example, which calls the service from the .proto alone."""

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc
from paravec_client import EmbeddingClient

from ..calls import started
from ..npm import install
from ..servers import Server

ROOT = Path(__file__).parents[2]
EXAMPLE = Path("client/examples/node")
TEXTS = ["The fire in Sydney spread", "xyzzy", ""]


@pytest.fixture(scope="session")
def program() -> Path:
    """The example with its packages, beside the contract as in the repository."""
    place = ROOT / "build/node"
    shutil.copytree(ROOT / "proto", place / "proto", dirs_exist_ok=True)
    install(ROOT / EXAMPLE, folder := place / EXAMPLE)
    return folder / "embed.mjs"


def run(program: Path, target: str, *texts: str) -> "subprocess.CompletedProcess[str]":
    """Run the program with these texts."""
    variables = os.environ | {"PARAVEC_TARGET": target}
    return subprocess.run(["node", program, *texts], env=variables, capture_output=True, text=True, check=False)


def test_the_node_example_embeds(program: Path, server: Server, client: EmbeddingClient) -> None:
    """The Node example gets the vectors, the counts and the model's version that our client gets."""
    ran = run(program, server.target, *TEXTS)
    assert ran.returncode == 0, ran.stderr
    made = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [one["text"] for one in made] == TEXTS
    np.testing.assert_array_equal(np.array([one["vector"] for one in made], np.float32), client.embed(TEXTS))
    assert [one["known_token_count"] for one in made] == [e.known_token_count for e in client.embed_all(TEXTS)]
    assert {one["model"] for one in made} == {client.model().version}


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"])
def test_the_node_example_retries(program: Path, code: str) -> None:
    """A call refused twice with a transient status is answered."""
    calls = []

    class Refusing(embedding_pb2_grpc.EmbeddingServiceServicer):
        def Embed(self, request: pb.EmbedRequest, context: grpc.ServicerContext) -> pb.EmbedResponse:  # noqa: N802
            calls.append(request)
            if len(calls) < 3:
                context.abort(grpc.StatusCode[code], "try again")
            return pb.EmbedResponse(embeddings=[pb.Embedding()], model=pb.ModelVersion(version="1"))

    server = grpc.server(ThreadPoolExecutor(1))
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(Refusing(), server)
    with started(server) as target:
        ran = run(program, target, "fire")
    assert ran.returncode == 0, ran.stderr
    assert len(calls) == 3


def test_the_node_example_names_the_wrong_field(program: Path, server: Server) -> None:
    """An error prints its status, a line for each field violation and no stack trace."""
    ran = run(program, server.target, "fire", "fire " * 3000)
    assert ran.returncode == 1
    first, second = ran.stderr.splitlines()
    assert first.startswith("embed.mjs: INVALID_ARGUMENT: documents[1].text: ")
    assert second.startswith("  documents[1].text has 3000 tokens")
