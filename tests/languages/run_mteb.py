"""MTEB's encoder protocol with the real package, by a server and by an artifact: `make mteb-test`.

Its packages take almost a gigabyte, so .ci/run leaves it out.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact

from ..environments import environment
from ..mteb_program import TEXTS
from ..servers import Server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(server: Server, artifact: Artifact) -> Any:
    """What the program printed."""
    python = environment("mteb") / "bin/python"
    paths = os.pathsep.join(str(ROOT / name) for name in ("client", "proto", "model"))
    # -P: tests/triton.py must not stand for torch's triton. Nothing is fetched.
    variables = os.environ | {"PYTHONPATH": paths, "HF_HUB_OFFLINE": "1"}
    command = [str(python), "-P", str(ROOT / "tests/mteb_program.py"), server.target, str(artifact.path)]
    ran = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", ["server", "process"])
def test_mteb_gets_the_models_vectors(made: Any, client: EmbeddingClient, kind: str) -> None:
    """The encoder has MTEB's protocol, the client's vectors, and the model's name and digest."""
    model = client.model()
    vectors = np.array(made[kind].pop("vectors"), np.float32)
    np.testing.assert_array_equal(vectors, client.embed(TEXTS))
    digest = model.digest.removeprefix("sha256:")
    assert made[kind] == {"name": f"paravec/{model.name}", "revision": digest, "size": model.vector_size}


def test_mteb_evaluates_a_server(made: Any) -> None:
    """Equal texts are the most similar, and each text is found by itself."""
    if made["scores"] is None:
        pytest.skip("MTEB evaluates with torch, of gigabytes: build/mteb/bin/pip install sentence-transformers")
    assert made["scores"]["ParavecSearch"] == 1
    assert made["scores"]["ParavecPairs"] > 0.8
