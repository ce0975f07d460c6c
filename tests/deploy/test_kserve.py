"""The example for KServe: rendered, and checked against KServe's own types."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from paravec_model.artifact import Artifact
from paravec_model.artifact.manifest import FORMAT_VERSION
from paravec_model.packaging import package
from paravec_server.settings import Settings

from ..environments import environment
from .manifests import KUSTOMIZE, Objects, only, pod, render

EXAMPLE = KUSTOMIZE / "examples/kserve"


@pytest.fixture(scope="module")
def objects() -> Objects:
    """The example, rendered."""
    return render(EXAMPLE)


@pytest.fixture(scope="module")
def container(objects: Objects) -> dict[str, Any]:
    """The runtime's container."""
    (found,) = only(objects, "ServingRuntime")["spec"]["containers"]
    return dict(found)


def test_the_runtime_serves_the_models_format(objects: Objects, artifact: Artifact, tmp_path: Path) -> None:
    """The InferenceService names the runtime, by a format that the runtime supports and packages declare."""
    runtime, model = only(objects, "ServingRuntime"), only(objects, "InferenceService")["spec"]["predictor"]["model"]
    (supported,) = runtime["spec"]["supportedModelFormats"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"] == {"name": supported["name"], "version": supported["version"]}
    assert supported["version"] == str(FORMAT_VERSION)
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    package(artifact.path, tmp_path / "layout")
    configs = [file.read_bytes() for file in (tmp_path / "layout/blobs/sha256").iterdir()]
    assert any(f'"format": "{supported["name"]}"'.encode() in config for config in configs)


def test_the_runtime_is_the_bases_server(objects: Objects, container: dict[str, Any]) -> None:
    """Image, probes, resources and the lock-down are those of the base; every variable is a setting."""
    (server,) = pod(render(KUSTOMIZE / "base"))["containers"]
    for key in ("image", "lifecycle", "resources", "securityContext"):
        assert container[key] == server[key], key
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = json.loads(json.dumps(server[kind]).replace('"operations"', "9464"))
        assert container[kind] == probe, kind
    variables = {variable["name"] for variable in container["env"]}
    assert variables <= {f"PARAVEC_{name.upper()}" for name in Settings.__dataclass_fields__}
    predictor = only(objects, "InferenceService")["spec"]["predictor"]
    spec = pod(render(KUSTOMIZE / "base"))
    assert predictor["terminationGracePeriodSeconds"] == spec["terminationGracePeriodSeconds"]


def check(objects: Objects) -> str:
    """What KServe's types say against the objects."""
    python = environment("kserve") / "bin/python"
    program = Path(__file__).with_name("kserve_types.py")
    ran = subprocess.run([python, program], input=json.dumps(objects), capture_output=True, text=True, check=False)
    assert not ran.stderr, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_every_field_is_one_of_kserves(objects: Objects, container: dict[str, Any]) -> None:
    """KServe has each field with that type; a wrong name, a wrong type and a missing field would be found."""
    assert check(objects) == ""
    runtime = only(objects, "ServingRuntime")
    wrong = {
        "no field multiModels": runtime | {"spec": runtime["spec"] | {"multiModels": False}},
        "'2' is no bool": runtime | {"spec": runtime["spec"] | {"multiModel": "2"}},
        "no field httpPost": runtime
        | {"spec": runtime["spec"] | {"containers": [container | {"livenessProbe": {"httpPost": {}}}]}},
        "Field required": runtime | {"spec": {"multiModel": False, "containers": [{"image": "x"}]}},
    }
    for says, changed in wrong.items():
        assert says in check([changed]), says
