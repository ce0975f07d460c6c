"""What the images say of themselves, against what is in them: make deploy-test

Needs root on Debian; what else it takes is installed by lab/env.sh.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from paravec_model import __version__
from paravec_model.artifact import Artifact

from .manifests import ROOT
from .pods import LAB, make_images, need_lab, podman

SERVER, MODEL, FAQ = f"paravec-server:{__version__}", "doc2vec-model:sbom", f"paravec-faq:{__version__}"
LABEL = "org.opencontainers.image."


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, artifact: Artifact) -> Artifact:
    """The artifact in the model's image; all three images are built."""
    need_lab()
    make_images(artifact.path, MODEL.partition(":")[2])
    make("faq-image")
    return artifact


def make(*arguments: str) -> None:
    """Run a make target with the lab's builder."""
    command = ["make", f"BUILDER={LAB}/builder", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def run(image: str, *command: str) -> str:
    """What a command prints in a container of the image."""
    return podman("run", "--rm", "--network=none", f"--entrypoint={command[0]}", image, *command[1:])


def sbom(image: str, name: str) -> dict[str, Any]:
    """The SBOM in an image, which passes CycloneDX's own schema."""
    text = run(image, "cat", f"/usr/share/sbom/{name}.cdx.json")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill: dict[str, Any] = json.loads(text)
    return bill


def test_the_servers_sbom_is_what_pip_and_dpkg_list(artifact: Artifact) -> None:
    """pip, in both environments of the image, and dpkg list the packages of the SBOM with their versions."""
    urls = [part["purl"] for part in sbom(SERVER, "paravec-server")["components"] if "purl" in part]
    base = run(SERVER, "python", "-c", "import sys; print(sys._base_executable)").strip()
    listed = set()
    for python in (base, "/opt/paravec/bin/python"):
        found = json.loads(
            run(SERVER, base, "-m", "pip", "--no-cache-dir", "--python", python, "list", "--format=json")
        )
        listed |= {f"pkg:pypi/{canonicalize_name(one['name'])}@{one['version']}" for one in found}
    assert f"pkg:pypi/paravec@{__version__}" in listed
    assert {url for url in urls if url.startswith("pkg:pypi/")} == listed
    packages = run(SERVER, "dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Package} ${Version}\\n")
    installed = [line.split()[1:] for line in packages.splitlines() if line.startswith("ii")]
    debian = [PackageURL.from_string(url) for url in urls if url.startswith("pkg:deb/")]
    assert sorted([one.name, one.version] for one in debian) == sorted(installed)
    (python,) = (url.partition("@")[2] for url in urls if url.startswith("pkg:generic/python@"))
    assert run(SERVER, "python", "--version") == f"Python {python}\n"


def test_hashes_in_the_servers_sbom_are_those_of_the_lock(artifact: Artifact) -> None:
    """The lock has the SHA-256 of each wheel that the SBOM lists, and paravec's own is that of the wheel."""
    lock = (ROOT / "requirements/server.lock").read_text()
    parts = {part["name"]: part for part in sbom(SERVER, "paravec-server")["components"] if "hashes" in part}
    ours = parts.pop("paravec")["hashes"][0]["content"]
    assert len(parts) > 10
    for name, part in parts.items():
        assert f"--hash=sha256:{part['hashes'][0]['content']}" in lock, name
    installed = f"/opt/paravec/lib/python3.13/site-packages/paravec-{__version__}.dist-info/direct_url.json"
    assert json.loads(run(SERVER, "cat", installed))["archive_info"]["hashes"]["sha256"] == ours


def test_make_sbom_writes_the_sbom_of_the_image(artifact: Artifact, tmp_path: Path) -> None:
    """The file is the one in the image, byte for byte."""
    make("sbom", f"DIST={tmp_path}", "PLATFORM=linux/amd64")
    (written,) = tmp_path.iterdir()
    assert written.name == "paravec-server-linux-amd64.cdx.json"
    assert written.read_text() == run(SERVER, "cat", "/usr/share/sbom/paravec-server.cdx.json")


def test_the_models_sbom_is_of_the_files_in_the_image(artifact: Artifact) -> None:
    """The model's SBOM names the model, and the image has each file with the listed SHA-256."""
    bill = sbom(MODEL, "model")
    assert bill["metadata"]["component"]["bom-ref"] == artifact.manifest.digest
    listed = {f"/usr/src/d2v_model/{part['name']}": part["hashes"][0]["content"] for part in bill["components"]}
    printed = [line.split() for line in run(MODEL, "sha256sum", *listed).splitlines()]
    assert listed == {name: sha256 for sha256, name in printed}


@pytest.mark.parametrize(
    ("image", "title", "version"),
    [(SERVER, "paravec-server", __version__), (FAQ, "paravec-faq", __version__), (MODEL, "doc2vec-model", None)],
)
def test_labels_say_what_an_image_is_made_from(artifact: Artifact, image: str, title: str, version: str | None) -> None:
    """Version, base, and a commit of this repository with its time; no label names a machine or a registry."""
    labels = json.loads(podman("image", "inspect", image))[0]["Labels"]
    assert labels[f"{LABEL}title"] == title
    assert labels[f"{LABEL}version"] == (version or artifact.manifest.version)
    assert labels[f"{LABEL}description"]
    assert labels[f"{LABEL}base.name"] == ("busybox:1.36" if image == MODEL else "python:3.13-slim")
    # The licence of a model is its maker's to say.
    assert labels.get(f"{LABEL}licenses") == (None if image == MODEL else "Apache-2.0")
    commit = labels[f"{LABEL}revision"].removesuffix("-dirty")
    if commit == "unknown":
        pytest.skip("this is no git checkout")
    command = ["git", "show", "--no-patch", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%H %cd", commit]
    shown = subprocess.run(command, cwd=ROOT, env={"TZ": "UTC"}, capture_output=True, text=True, check=True).stdout
    assert shown.split() == [commit, labels[f"{LABEL}created"]]
    assert f"{LABEL}source" not in labels
    assert not [value for value in labels.values() if value.startswith("/") or "localhost" in value]
