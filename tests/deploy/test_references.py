"""References between objects follow names and images that an overlay changes."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paravec_model import __version__

from .manifests import COMPONENTS, Objects, added, composed, pods, render

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

RENAMED = "namePrefix: it-\nnameSuffix: -two\nnamespace: ml\n"
DIGEST = "sha256:" + "a" * 64


def variables(objects: Objects, container: dict[str, Any]) -> dict[str, str]:
    """A container's variables by ConfigMap and by value, with references to variables expanded, as Kubernetes does."""
    data = {found["metadata"]["name"]: found["data"] for found in objects if found["kind"] == "ConfigMap"}
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= data[source["configMapRef"]["name"]]
    for variable in container.get("env", []):
        if "value" in variable:
            expanded = re.sub(r"\$\((\w+)\)", lambda match: found[match[1]], variable["value"])
            found[variable["name"]] = expanded
    return found


def references(objects: Objects) -> Iterator[tuple[str, str]]:
    """Kind and name of all objects that others refer to, but for Secrets, Gateways and keys, which are not ours."""
    for template in pods(objects):
        spec = template["spec"]
        if "serviceAccountName" in spec:
            yield "ServiceAccount", spec["serviceAccountName"]
        for volume in spec["volumes"]:
            if volume.get("configMap", {}).get("name", "paravec-signer") != "paravec-signer":
                yield "ConfigMap", volume["configMap"]["name"]
            if "persistentVolumeClaim" in volume:
                yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
        for container in spec["containers"]:
            yield from (("ConfigMap", source["configMapRef"]["name"]) for source in container.get("envFrom", []))
            if target := variables(objects, container).get("PARAVEC_TARGET"):
                yield "Service", target.removeprefix("dns:///").partition(":")[0]
    for found in objects:
        if found["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            yield "Deployment", found["spec"]["scaleTargetRef"]["name"]
        if found["kind"] == "GRPCRoute":
            rules = found["spec"]["rules"]
            yield from (("Service", one["name"]) for rule in rules for one in rule["backendRefs"])
            mirrors = [one["requestMirror"] for rule in rules for one in rule.get("filters", [])]
            yield from (("Service", mirror["backendRef"]["name"]) for mirror in mirrors)
        if found["kind"] == "Ingress":
            paths = [path for rule in found["spec"]["rules"] for path in rule["http"]["paths"]]
            yield from (("Service", path["backend"]["service"]["name"]) for path in paths)


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("on", ["base", "overlays/production"])
def test_references_follow_a_prefix_and_a_suffix(on: str, component: str, tmp_path: Path) -> None:
    """With namePrefix and nameSuffix, beside the component or above it, each reference names an existing object."""
    (tmp_path / "inner").mkdir()
    composed(tmp_path / "inner", *added(component, on), on=on)
    (tmp_path / "kustomization.yaml").write_text(RENAMED + "resources: [inner]\n")
    (tmp_path / "beside").mkdir()
    for path in (composed(tmp_path / "beside", *added(component, on), more=RENAMED, on=on), tmp_path):
        objects = render(path)
        names = {(found["kind"], found["metadata"]["name"]) for found in objects}
        assert all(name.startswith("it-") and "-two" in name for _, name in names)
        referred = set(references(objects))
        assert len(referred) >= 2
        assert referred <= names


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_above_a_renamed_overlay_finds_its_objects(component: str, tmp_path: Path) -> None:
    """On top of an overlay with a namespace, which is repeated there, a component refers to what the overlay has."""
    (tmp_path / "inner").mkdir()
    composed(tmp_path / "inner", more=RENAMED)
    file = composed(tmp_path, *added(component), more="namespace: ml\n") / "kustomization.yaml"
    file.write_text("resources: [inner]\ncomponents:" + file.read_text().partition("components:")[2])
    objects = render(tmp_path)
    assert {found["metadata"].get("namespace") for found in objects} == {"ml"}
    assert set(references(objects)) <= {(found["kind"], found["metadata"]["name"]) for found in objects}


def test_another_server_is_a_setting_of_the_example(tmp_path: Path) -> None:
    """A literal names a Service of another namespace, and no prefix changes it."""
    (tmp_path / "faq").mkdir()
    (tmp_path / "faq/kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nconfigMapGenerator:\n"
        "  - {name: faq-engine, behavior: merge, literals: [PARAVEC_SERVICE=paravec-server.ml, FAQ_THRESHOLD=30]}\n"
    )
    composed(tmp_path, "faq-engine")
    with (tmp_path / "kustomization.yaml").open("a") as overlay:
        overlay.write("  - faq\n" + "namePrefix: it-\n")
    objects = render(tmp_path)
    (page,) = (one for pod in pods(objects) for one in pod["spec"]["containers"] if one["name"] == "faq-engine")
    found = variables(objects, page)
    assert found["PARAVEC_TARGET"] == "dns:///paravec-server.ml:50051"
    assert found["FAQ_THRESHOLD"] == "30"


@pytest.mark.parametrize(
    ("change", "image"),
    [
        ("newTag: 2.0.0", "doc2vec-model:2.0.0"),
        ("newName: registry.example.com:5000/ml/model", "registry.example.com:5000/ml/model:1.0.0"),
        (f"digest: {DIGEST}", f"doc2vec-model@{DIGEST}"),
        (f"newName: example.com/model, digest: {DIGEST}", f"example.com/model@{DIGEST}"),
    ],
)
@pytest.mark.parametrize("on", ["base", "overlays/production"])
@pytest.mark.parametrize("component", [name for name in COMPONENTS if name.startswith("volume-")] + ["prune-models"])
def test_images_change_the_model_of_each_kind_of_volume(
    component: str, on: str, change: str, image: str, tmp_path: Path
) -> None:
    """`images:` changes the model's image by name, tag or digest, beside the component and above it."""
    (tmp_path / "inner").mkdir()
    composed(tmp_path / "inner", *added(component, on), on=on)
    images = f"images: [{{name: doc2vec-model, {change}}}]\n"
    (tmp_path / "kustomization.yaml").write_text(images + "resources: [inner]\n")
    (tmp_path / "beside").mkdir()
    for path in (composed(tmp_path / "beside", *added(component, on), more=images, on=on), tmp_path):
        found = set()
        for spec in (template["spec"] for template in pods(render(path))):
            found |= {volume["image"]["reference"] for volume in spec["volumes"] if "image" in volume}
            found |= {one["image"] for one in (spec.get("initContainers") or []) + spec["containers"]}
        assert found == {image, f"paravec-server:{__version__}"}


@pytest.mark.parametrize("component", ["volume-memory", "volume-persistent", "prune-models"])
def test_a_component_above_an_overlay_uses_its_image(component: str, tmp_path: Path) -> None:
    """On top of an overlay that has changed the model's image, a component adds no container with another one."""
    (tmp_path / "inner").mkdir()
    composed(tmp_path / "inner", more="images: [{name: doc2vec-model, newTag: 2.0.0}]\n")
    file = composed(tmp_path, *added(component)) / "kustomization.yaml"
    file.write_text("resources: [inner]\ncomponents:" + file.read_text().partition("components:")[2])
    for spec in (template["spec"] for template in pods(render(tmp_path))):
        found = {one["image"] for one in (spec.get("initContainers") or []) + spec["containers"]}
        assert found <= {"doc2vec-model:2.0.0", f"paravec-server:{__version__}"}
