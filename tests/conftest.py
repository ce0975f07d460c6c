"""Fixtures of the whole session: a small trained model, its artifact, and a real server of it on a free port."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from gensim.models.doc2vec import Doc2Vec
from hypothesis import HealthCheck, settings

from paravec.v1 import embedding_pb2_grpc
from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder
from paravec_model.lexical import LexicalBuilder

from . import envoys, parity
from .calls import connect
from .credentials import OLD, Pem
from .envoys import Envoy
from .servers import Server, running, until

settings.register_profile(
    "paravec", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# For `make sanitize`.
settings.register_profile("sanitize", settings.get_profile("paravec"), max_examples=500)
settings.load_profile("paravec")


@pytest.fixture(scope="session")
def gensim_model() -> Doc2Vec:
    """A DBOW model of the Lee corpus with negative sampling and sub-sampling."""
    return parity.train(dm=0, epochs=20)


@pytest.fixture(scope="session")
def artifact(gensim_model: Doc2Vec, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The artifact of `gensim_model`, with its doctags."""
    return parity.to_artifact(gensim_model, tmp_path_factory.mktemp("artifact") / "lee", doctags=True)


@pytest.fixture(scope="session")
def lexical(gensim_model: Doc2Vec, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """`artifact` with a lexical index of the stories; the tags that they share have no words."""
    builder = LexicalBuilder(len(gensim_model.dv))
    for number, tokens in enumerate(parity.lee()):
        builder.add(number, tokens)
    return parity.to_artifact(gensim_model, tmp_path_factory.mktemp("lexical") / "lee", doctags=True, lexical=builder)


@pytest.fixture(scope="session")
def encoder(artifact: Artifact) -> Encoder:
    """An encoder of `artifact`."""
    return Encoder(artifact)


@pytest.fixture(scope="session")
def server(artifact: Artifact) -> Iterator[Server]:
    """A server of `artifact` with small limits, ready."""
    limits = ("--max-documents", "64", "--max-tokens", "2000", "--max-epochs", "2000", "--max-message-bytes", "2000000")
    with running(artifact.path, *limits) as server:
        yield server


@pytest.fixture(scope="session")
def channel(server: Server) -> Iterator[grpc.Channel]:
    """A stock channel to `server`."""
    with connect(server.target) as channel:
        yield channel


@pytest.fixture(scope="session")
def stub(channel: grpc.Channel) -> Any:
    """The generated stub on `channel`."""
    return embedding_pb2_grpc.EmbeddingServiceStub(channel)


@pytest.fixture
def client(server: Server) -> Iterator[EmbeddingClient]:
    """A client of `server`."""
    with EmbeddingClient(server.target) as client:
        yield client


@pytest.fixture(scope="module")
def envoy(server: Server) -> Iterator[Envoy]:
    """An Envoy before `server`."""
    with envoys.running(server.target) as envoy:
        until(lambda: envoy.ready)
        yield envoy


@pytest.fixture
def pem(tmp_path: Path) -> Pem:
    """A certificate authority for one test."""
    return Pem(tmp_path / "pem")


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """A tokens file with one token and a comment."""
    file = tmp_path / "tokens"
    file.write_text(f"# of the search service\n\n  {OLD}   # since May\n")
    return file
