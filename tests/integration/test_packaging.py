"""`paravec-model package`: an artifact travels through a real registry, and what is pulled serves."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact
from paravec_model.cli.main import main
from paravec_model.encoder import Encoder

from ..environments import environment
from ..pages import blocks
from ..registries import registry
from ..servers import running

PAGE = "docs/how-to/package-a-model.md"
TEXTS = ["The fire in Sydney spread", "xyzzy", "fire and rain"]

SKOPEO_COPY = "skopeo copy -q --src-tls-verify=false --dest-tls-verify=false"
"""For a registry without TLS."""

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def signed(artifact: Artifact, tmp_path: Path) -> Path:
    """An artifact with a signature, which its manifest does not list."""
    folder = shutil.copytree(artifact.path, tmp_path / "signed")
    (folder / "model.sig").write_text('{"signed": "by someone"}\n')
    return folder


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A registry, as HOST:PORT."""
    folder = tmp_path / "registry"
    folder.mkdir()
    with registry(folder) as address:
        yield address


def package(artifact: Path, output: Path, *flags: str) -> Path:
    """Package an artifact, and return the package."""
    assert main(["package", str(artifact), str(output), *flags]) == 0
    return output


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def blob(layout: Path, descriptor: dict[str, Any]) -> bytes:
    """What a descriptor of an image layout describes, checked by its size and digest."""
    kind, _, digest = descriptor["digest"].partition(":")
    content: bytes = (layout / "blobs" / kind / digest).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (descriptor["size"], digest)
    return content


def image_manifest(layout: Path) -> dict[str, Any]:
    """The one manifest of an image layout."""
    (described,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return dict(json.loads(blob(layout, described)))


def serves(folder: Path, expected: Artifact) -> None:
    """A server of the folder gives the vectors of the artifact."""
    encoder = Encoder(expected)
    with running(folder, "--verify", "full") as server, EmbeddingClient(server.target) as client:
        vectors = client.embed(TEXTS)
    np.testing.assert_array_equal(vectors, encoder.encode([encoder.tokenize(text) for text in TEXTS]).vectors)


def test_each_file_is_a_layer_with_the_digest_of_the_manifest(artifact: Artifact, signed: Path, tmp_path: Path) -> None:
    """Layers are the files of the artifact and its signature, named, with the SHA-256 that manifest.json lists."""
    layout = package(signed, tmp_path / "layout")
    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    layers = {layer["annotations"]["org.cncf.model.filepath"]: layer for layer in image_manifest(layout)["layers"]}
    assert {name: blob(layout, layer) for name, layer in layers.items()} == contents(signed)
    assert list(layers) == ["manifest.json", *sorted(artifact.manifest.files), "model.sig"]
    for name, entry in artifact.manifest.files.items():
        assert layers[name]["digest"] == f"sha256:{entry.sha256}"
    for name, layer in layers.items():
        assert layer["annotations"]["org.opencontainers.image.title"] == name
        kind = "weight" if name in ("syn1neg.npy", "sample_int.npy", "doctag_vectors.npy") else "weight.config"
        if name.endswith((".json", ".sig")) or name in ("syn1neg.npy", "vocabulary_text.npy", "doctag_vectors.npy"):
            assert layer["mediaType"] == f"application/vnd.cncf.model.{kind}.v1.raw", name


def test_the_package_says_what_the_manifest_says(artifact: Artifact, tmp_path: Path) -> None:
    """Types are ModelPack's; name, version, time, license and size are the model's."""
    layout = package(artifact.path, tmp_path / "layout", "--license", "Apache-2.0", "--tag", "latest")
    (described,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    assert described["annotations"] == {"org.opencontainers.image.ref.name": "latest"}
    manifest, ours = image_manifest(layout), artifact.manifest
    assert manifest["artifactType"] == described["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    assert manifest["annotations"]["paravec.model.digest"] == ours.digest
    config = json.loads(blob(layout, manifest["config"]))
    assert config["descriptor"] == {
        "createdAt": ours.created,
        "family": "doc2vec",
        "licenses": ["Apache-2.0"],
        "name": ours.name,
        "version": ours.version,
    }
    count = (ours.vocabulary_size + ours.doctag_count) * ours.algorithm.vector_size
    assert config["config"]["paramSize"] == f"{count / 1000:.1f}K"
    assert config["config"]["architecture"] == "dbow"
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in manifest["layers"]]


def test_the_same_artifact_gives_the_same_bytes(artifact: Artifact, tmp_path: Path) -> None:
    """Neither place nor times nor modes of the files are in a package."""
    again = shutil.copytree(artifact.path, tmp_path / "again")
    for file in again.iterdir():
        os.utime(file, (1, 1))
        file.chmod(0o600)
    one, other = package(artifact.path, tmp_path / "one"), package(again, tmp_path / "other")
    assert contents(one) == contents(other)


def damage(folder: Path) -> None:
    """Change one byte of an array."""
    file = folder / "syn1neg.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")


@pytest.mark.parametrize(
    ("change", "flags", "says"),
    [
        (damage, (), "syn1neg.npy: its SHA-256 differs from the manifest's"),
        (lambda folder: (folder / "syn1neg.npy").unlink(), (), "syn1neg.npy: is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), (), "manifest.json: not found"),
        (lambda folder: (folder / "model.sig").mkdir(), (), "model.sig: is not a regular file"),
        (lambda folder: (folder / "model.sig").symlink_to("/etc/passwd"), (), "model.sig: is not a regular file"),
        (lambda folder: os.mkfifo(folder / "model.sig"), (), "model.sig: is not a regular file"),
        (lambda _: None, ("--tag", "two words"), "tag: 'two words' is no tag of a registry"),
    ],
    ids=[
        "changed",
        "missing",
        "no artifact",
        "signature is a folder",
        "signature is a link",
        "signature is a pipe",
        "tag",
    ],
)
def test_what_cannot_be_packaged_is_one_line(
    change: Any, flags: tuple[str, ...], says: str, artifact: Artifact, tmp_path: Path, capsys: Capture
) -> None:
    """The line names the file or flag, and nothing is left."""
    copy = shutil.copytree(artifact.path, tmp_path / "copy")
    change(copy)
    assert main(["package", str(copy), str(tmp_path / "layout"), *flags]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_an_existing_output_stays(artifact: Artifact, tmp_path: Path, capsys: Capture) -> None:
    """A package is not overwritten."""
    layout = package(artifact.path, tmp_path / "layout")
    before = contents(layout)
    assert main(["package", str(artifact.path), str(layout), "--license", "MIT"]) == 1
    assert f"{layout}: already exists" in capsys.readouterr().err
    assert contents(layout) == before


def test_what_skopeo_pushes_and_pulls_serves(signed: Path, artifact: Artifact, address: str, tmp_path: Path) -> None:
    """The commands of the page bring back every byte, and the registry has the digest that the command printed."""
    for program in ("skopeo", "jq"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    push, pull = (block.code for block in blocks(PAGE, "sh") if block.marker == "run by")
    code = f"{push}{pull}".replace("registry.example.com", address).replace("build/models/lee", str(signed))
    code = code.replace(":1.0.0", f":{artifact.manifest.version}").replace("skopeo copy", SKOPEO_COPY)
    variables = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", code]
    ran = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert contents(tmp_path / "lee") == contents(signed)
    digest = hashlib.sha256((tmp_path / "pulled/manifest.json").read_bytes()).hexdigest()
    assert f"as sha256:{digest}\n" in ran.stdout
    serves(tmp_path / "lee", artifact)


PULL = """
import sys, modelpack_client, oras.client
target = sys.argv[1]
oras.client.OrasClient(insecure=True).pull(target=target, outdir="by-oras")
modelpack_client.ModelPackClient(insecure=True).pull(target, "by-modelpack")
"""

CHECK = """
import json, sys, jsonschema, oras.schemas
from modelpack_client.schema import CONFIG_SCHEMA
config, manifest = (json.load(open(file)) for file in sys.argv[1:])
checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
jsonschema.Draft202012Validator(CONFIG_SCHEMA, format_checker=checker).validate(config)
jsonschema.validate(manifest, oras.schemas.manifest)
"""


@pytest.mark.slow
def test_clients_of_modelpack_and_oras_pull_it(signed: Path, artifact: Artifact, address: str, tmp_path: Path) -> None:
    """The config is valid by ModelPack's schema, and both clients write the folder that the server serves."""
    python = environment("modelpack") / "bin/python"
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    layout, target = package(signed, tmp_path / "layout"), f"{address}/models/lee:1"
    manifest = image_manifest(layout)
    (tmp_path / "config.json").write_bytes(blob(layout, manifest["config"]))
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    subprocess.run([python, "-c", CHECK, "config.json", "manifest.json"], cwd=tmp_path, check=True)
    subprocess.run([*SKOPEO_COPY.split(), f"oci:{layout}", f"docker://{target}"], check=True)
    subprocess.run([python, "-c", PULL, target], cwd=tmp_path, check=True)
    for folder in (tmp_path / "by-oras", tmp_path / "by-modelpack"):
        assert contents(folder) == contents(signed)
        serves(folder, artifact)
