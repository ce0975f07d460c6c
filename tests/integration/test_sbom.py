"""SBOMs of images and models."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from release import model_sbom, sbom

from paravec_model.artifact import Artifact

SHA256 = hashlib.sha256(b"wheel").hexdigest()


def checked(text: str) -> dict[str, Any]:
    """A bill that passes CycloneDX's own schema."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill: dict[str, Any] = json.loads(text)
    return bill


def install(folder: Path, name: str, version: str, *more: str) -> None:
    """The metadata that an installed distribution leaves."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *more, ""]))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The file system of an image on Debian, in parts that an SBOM is made of."""
    root = tmp_path / "image"
    ours, base = root / "opt/paravec/lib/python3.13/site-packages", root / "usr/local/lib/python3.13/site-packages"
    extra = "Provides-Extra: server"
    install(
        ours, "paravec", "1.2.3", "License-Expression: Apache-2.0", extra, 'Requires-Dist: A.b>=1; extra == "server"'
    )
    install(ours, "a-B", "1.0", "License: BSD 3-Clause", "Requires-Dist: absent; python_version < '3'")
    install(
        ours, "c", "2", "License: the text\n        of a licence", "Classifier: License :: OSI Approved :: MIT License"
    )
    install(base, "a-b", "0.9")
    install(base, "c", "2")
    (root / "opt/paravec/pyvenv.cfg").write_text("home = /usr/local/bin\nversion = 3.13.7\n")
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text('PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="13"\n')
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(
        "Package: libc6\nStatus: install ok installed\nArchitecture: arm64\nVersion: 2.41-12\nDescription: a\n b\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: arm64\nVersion: 1:1.0~rc1\n"
    )
    return root


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """What `pip install --report` says of a wheel."""
    path = tmp_path / "report.json"
    wheel = {"url": "https://index.invalid/a_b.whl", "archive_info": {"hashes": {"sha256": SHA256}}}
    path.write_text(json.dumps({"install": [{"metadata": {"name": "a_b"}, "download_info": wheel}]}))
    return path


def test_an_images_sbom_lists_what_is_installed(image: Path, report: Path) -> None:
    """Python's packages with hash and licence, Python, the system and its packages; nothing that was removed."""
    bill = checked(sbom.text(sbom.bill("paravec-server", image, [report])))
    assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == (
        "paravec-server",
        "1.2.3",
    )
    parts = {part.get("purl", part["name"]): part for part in bill["components"]}
    assert set(parts) == {
        "pkg:pypi/paravec@1.2.3",
        "pkg:pypi/a-b@1.0",
        "pkg:pypi/a-b@0.9",
        "pkg:pypi/c@2",
        "pkg:generic/python@3.13.7",
        "debian",
        "pkg:deb/debian/libc6@2.41-12?arch=arm64&distro=debian-13",
    }
    assert [one["content"] for one in parts["pkg:pypi/a-b@1.0"]["hashes"]] == [SHA256]
    assert "hashes" not in parts["pkg:pypi/a-b@0.9"]
    named = {url: part["licenses"][0]["license"] for url, part in parts.items() if "licenses" in part}
    assert named["pkg:pypi/paravec@1.2.3"]["id"] == "Apache-2.0"
    assert named["pkg:pypi/a-b@1.0"]["name"] == "BSD 3-Clause"
    assert named["pkg:pypi/c@2"]["name"] == "MIT License"
    assert "index.invalid" not in json.dumps(bill)


def test_an_images_sbom_has_the_graph_of_requirements(image: Path) -> None:
    """A distribution depends on those that it requires and that are installed beside it."""
    bill = checked(sbom.text(sbom.bill("paravec-server", image, [])))
    graph = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    assert graph["pkg:pypi/paravec@1.2.3"] == ["pkg:pypi/a-b@1.0"]
    assert graph["pkg:pypi/a-b@1.0"] == []
    assert len(graph["paravec-server-1.2.3"]) == len(bill["components"])


def test_a_base_without_dpkg_has_no_system_packages(image: Path) -> None:
    """Of another system's packages an SBOM says nothing; it names the system if it can."""
    (image / "var/lib/dpkg/status").unlink()
    bill = checked(sbom.text(sbom.bill("paravec-server", image, [])))
    assert "debian" in {part["name"] for part in bill["components"]}
    (image / "etc/os-release").unlink()
    bill = checked(sbom.text(sbom.bill("paravec-server", image, [])))
    assert "debian" not in {part["name"] for part in bill["components"]}


def test_equal_images_have_equal_sboms(image: Path, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is SOURCE_DATE_EPOCH, and the serial number follows from the content."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first = sbom.text(sbom.bill("paravec-server", image, [report]))
    assert first == sbom.text(sbom.bill("paravec-server", image, [report]))
    assert checked(first)["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    other = sbom.text(sbom.bill("paravec-server", image, []))
    assert checked(first)["serialNumber"] != checked(other)["serialNumber"]


def test_a_models_sbom_has_the_hash_of_each_file(artifact: Artifact) -> None:
    """It is a machine-learning model with its digest; hashes are those of the files."""
    bill = checked(sbom.text(model_sbom.bill(artifact.manifest)))
    model = bill["metadata"]["component"]
    assert (model["type"], model["name"]) == ("machine-learning-model", artifact.manifest.name)
    assert model["properties"] == [{"name": "paravec:model:digest", "value": artifact.manifest.digest}]
    listed = {part["name"]: part["hashes"][0]["content"] for part in bill["components"]}
    files = {path.name: path for path in artifact.path.iterdir() if path.name != "manifest.json"}
    assert listed == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
