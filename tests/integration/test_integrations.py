"""scikit-learn, LangChain, LlamaIndex and Haystack, the real ones, with a server and with an artifact."""

import importlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paravec_client import ConfigError, EmbeddingClient
from paravec_client.integrations.source import Source
from paravec_model.artifact import Artifact
from paravec_model.document_files import write_documents
from paravec_model.encoder import Encoder

from ..environments import environment
from ..integrations_program import QUERY, TEXTS
from ..servers import Server

ROOT = Path(__file__).parents[2]


def test_a_server_and_an_artifact_give_the_same_vectors(
    server: Server, artifact: Artifact, client: EmbeddingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sources give the client's vectors; without a target, PARAVEC_TARGET names the server."""
    monkeypatch.setenv("PARAVEC_TARGET", server.target)
    expected = client.embed(TEXTS)
    for source in (
        Source(server.target, None, None),
        Source(None, None, None),
        Source(None, str(artifact.path), None),
    ):
        np.testing.assert_array_equal(source.embed(TEXTS), expected)
        assert source.vector_size == expected.shape[1]
    norms = np.linalg.norm(Source(None, str(artifact.path), True).embed(TEXTS), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-6)
    with pytest.raises(ConfigError, match="give target or artifact, not both"):
        Source("localhost:1", "models/lee", None)


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("haystack", "haystack", "haystack"),
        ("langchain", "langchain_core", "langchain"),
        ("llama_index", "llama_index", "llama-index"),
        ("mteb", "mteb", "mteb"),
        ("sklearn", "sklearn", "sklearn"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, module: str, library: str, extra: str
) -> None:
    """The import fails in one line that says what to install, and the extra exists."""
    # Parts that other tests have imported would be found without the library.
    for name in [library, *(name for name in sys.modules if name.startswith(f"{library}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"paravec_client.integrations.{module}", raising=False)
    with pytest.raises(ModuleNotFoundError, match=rf"^no {library}[a-z._]*: pip install 'paravec\[{extra}\]'$"):
        importlib.import_module(f"paravec_client.integrations.{module}")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extra in extras


@pytest.fixture(scope="module")
def made(server: Server, artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the program printed."""
    exported = tmp_path_factory.mktemp("exported") / "documents.npy"
    write_documents(artifact, exported, "npy", normalize=True)
    python = environment("adapters") / "bin/python"
    paths = os.pathsep.join(str(ROOT / name) for name in ("client", "proto", "model"))
    variables = os.environ | {"PYTHONPATH": paths, "HAYSTACK_TELEMETRY_ENABLED": "False"}
    arguments = (ROOT / "tests/integrations_program.py", server.target, artifact.path, exported)
    command = [str(python), *map(str, arguments)]
    ran = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["server", "process"])
@pytest.mark.parametrize("library", ["sklearn", "langchain", "llama_index", "haystack"])
def test_a_library_uses_the_models_vectors(made: Any, client: EmbeddingClient, library: str, kind: str) -> None:
    """The library gets the client's vectors, and finds with them what it should."""
    result = made[library][kind]
    np.testing.assert_array_equal(np.array(result["vectors"], np.float32), client.embed(TEXTS[:2]))
    if library == "sklearn":
        assert result["score"] == 1
        assert result["names"] == ["doc2vectransformer0", "doc2vectransformer1"]
        assert result["tokens"] == [2, client.model().vector_size]
    else:
        assert result["found"] == QUERY
    if "asynchronous" in result:
        np.testing.assert_array_equal(np.array(result["asynchronous"], np.float32), client.embed(TEXTS[0]))


@pytest.mark.slow
def test_a_vector_database_finds_what_the_model_finds(made: Any, encoder: Encoder) -> None:
    """Exported vectors in Qdrant have the neighbours and cosines of the model's own search."""
    assert encoder.document_index
    size = encoder.manifest.algorithm.vector_size
    ((expected, _),) = encoder.document_index.find(encoder.artifact.arrays["doctag_vectors"][7:8, :size], 3)
    assert made["qdrant"]["tags"] == [neighbour.tag for neighbour in expected]
    np.testing.assert_allclose(made["qdrant"]["cosines"], [neighbour.cosine for neighbour in expected], atol=1e-5)
