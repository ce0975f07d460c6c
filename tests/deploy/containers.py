"""What the tests of images and overlays in containers share: images to run, environments, and what they answer.

Needs root on Debian, and kubectl; what else it takes is installed by lab/env.sh.
"""

import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact
from paravec_model.convert.export import write_artifact
from paravec_model.convert.gensim_model import GensimModel
from paravec_model.encoder import Encoder
from paravec_model.text.tokenizer import SimpleTokenizer

from .. import parity
from ..signing import Signer
from .pods import LAB, Environment, free_port, make_images, need_lab

TEXTS = ["The prime minister spoke to reporters in Sydney", "fires burn near the city", "xyzzy"]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Both images, built by `make images`; the artifacts in them by tag. A tag `damaged` has a byte changed."""
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl")
    need_lab()
    made = {}
    for tag, epochs in (("1.0.0", 5), ("1.1.0", 6)):
        folder = tmp_path_factory.mktemp("models") / tag
        trained = GensimModel(parity.train(dm=0, epochs=epochs))
        write_artifact(folder, trained, name="test", version=tag, tokenizer=SimpleTokenizer())
        made[tag] = Artifact.open(folder)
        make_images(folder, tag, target="model-image" if len(made) > 1 else "images")
    damaged = tmp_path_factory.mktemp("damaged") / "Dockerfile"
    damaged.write_text("FROM doc2vec-model:1.0.0\nUSER 0\nRUN printf x >> /usr/src/d2v_model/syn1neg.npy\nUSER 10001\n")
    subprocess.run([LAB / "builder", "build", "-t", "doc2vec-model:damaged", damaged.parent], check=True)
    return made


@pytest.fixture(scope="session")
def signed(models: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """A signer, whose signature the image `signed` has; `forged` has another's."""
    keys = tmp_path_factory.mktemp("keys")
    signers = {"signed": Signer(keys, name="signer"), "forged": Signer(keys, name="forger")}
    for tag, signer in signers.items():
        directory = shutil.copytree(models["1.0.0"].path, tmp_path_factory.mktemp("models") / tag)
        signer.sign(directory)
        make_images(directory, tag, target="model-image")
    return signers["signed"]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Callable[..., Environment]]:
    """Makes environments of an overlay, and removes them at the end."""
    made: list[Environment] = []

    def make(overlay: str, name: str = "paravec-server") -> Environment:
        made.append(Environment(tmp_path / name, overlay, free_port(), name))
        return made[-1]

    yield make
    for one in made:
        one.remove()


@pytest.fixture
def development(models: dict[str, Artifact], environment: Callable[..., Environment]) -> Environment:
    """The overlay `development`."""
    return environment("development")


def answers(environment: Environment, artifact: Artifact) -> None:
    """The pod gives the vectors that the model gives here, and names it."""
    with EmbeddingClient(environment.target) as client:
        client.wait_until_ready()
        vectors = client.embed(TEXTS)
        model = client.model()
    encoder = Encoder(artifact)
    local = encoder.encode([encoder.tokenize(text) for text in TEXTS]).vectors
    np.testing.assert_array_equal(vectors, local)
    assert (model.version, model.digest) == (artifact.manifest.version, artifact.manifest.digest)


def answered(address: str) -> str:
    """What an address answers; nothing if it does not."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310  our own
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""
