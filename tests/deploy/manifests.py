"""Render the Kustomize overlays, validate them for each Kubernetes version supported, and print what they are.

make manifests
"""

import functools
import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from ..pages import commands

ROOT = Path(__file__).parents[2]
KUSTOMIZE = ROOT / "kustomize"
CANARY = "production-canary"
"""An overlay of two environments, with tests of its own: test_canary.py."""
OF_TWO = ("candidate", "canary", "shadow")
"""Components that take an environment beside another one; test_candidates.py covers them."""
COMPONENTS = sorted(path.name for path in (KUSTOMIZE / "components").iterdir() if path.name not in OF_TWO)
OVERLAYS = ("development", "staging", "production", "production-volume-per-pod", "production-image-volume")

SUPPORTED = tuple(f"1.{minor}" for minor in range(31, 38))
"""Versions of Kubernetes that the manifests are validated for."""
IMAGE_VOLUMES = tuple(version for version in SUPPORTED if version >= "1.35")
"""Those of them that mount images as volumes."""

NEEDS = {"prune-models": "volume-persistent", "http-tls": "http"}
"""Components that need another one before them."""

INSTALLED = ("gateway.networking.k8s.io/", "keda.sh/", "monitoring.coreos.com/")
"""Groups of kinds that a cluster only has by installing them. No overlay needs one."""

# Otherwise each validation reads a megabyte of definitions again.
kubernetes_validate.utils.schema_contents = functools.lru_cache(32)(kubernetes_validate.utils.schema_contents)

Objects = list[dict[str, Any]]


def render(path: Path) -> Objects:
    """The objects that kubectl renders; AssertionError with its output on standard error, if any."""
    # Collecting garbage was a third of kubectl's time, which ends before its memory matters.
    environment = {**os.environ, "GOGC": "off"}
    done = subprocess.run(["kubectl", "kustomize", path], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), f"{path}: {done.stderr}"
    return [found for found in yaml.load_all(done.stdout, yaml.CSafeLoader) if found]


def render_together(paths: Mapping[str, Path], folder: Path) -> list[Objects]:
    """The objects of each of several kustomizations, on top of which each gets the namespace that it is given by.

    One process renders them in `folder`, because reading Kubernetes' schema is most of what rendering takes.
    """
    if not paths:
        return []
    for namespace, path in paths.items():
        (folder / namespace).mkdir(parents=True)
        text = f"resources: [{os.path.relpath(path, folder / namespace)}]\nnamespace: {namespace}\n"
        (folder / namespace / "kustomization.yaml").write_text(text)
    (folder / "kustomization.yaml").write_text(f"resources: [{', '.join(paths)}]\n")
    found: dict[str, Objects] = {namespace: [] for namespace in paths}
    for one in render(folder):
        found[one["metadata"]["namespace"]].append(one)
    return [*found.values()]


def validate(objects: Objects, version: str) -> None:
    """Validate each object by the strict schema of a Kubernetes version; an unknown kind is an error."""
    for found in objects:
        if found["apiVersion"].startswith(INSTALLED):
            continue  # its test is by hand
        _validate(json.dumps(found), version)


@functools.cache  # Many renderings share objects.
def _validate(text: str, version: str) -> None:
    kubernetes_validate.validate(json.loads(text), version, strict=True)


def versions(overlay: str) -> tuple[str, ...]:
    """The Kubernetes versions that an overlay supports."""
    return IMAGE_VOLUMES if overlay == "production-image-volume" else SUPPORTED


UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def in_bytes(quantity: str) -> int:
    """Bytes of a quantity of Kubernetes with a binary unit."""
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def of_instance(objects: Objects, instance: str) -> Objects:
    """The objects of one of several environments, by its label."""
    return [o for o in objects if o["metadata"].get("labels", {}).get("app.kubernetes.io/instance") == instance]


def only(objects: Objects, kind: str) -> dict[str, Any]:
    """The one object of a kind."""
    (found,) = (found for found in objects if found["kind"] == kind)
    return found


def pod(objects: Objects) -> dict[str, Any]:
    """The pod's spec in the Deployment."""
    spec: dict[str, Any] = only(objects, "Deployment")["spec"]["template"]["spec"]
    return spec


def settings(objects: Objects) -> dict[str, str]:
    """The data of the ConfigMap that the server reads."""
    (source,) = pod(objects)["containers"][0]["envFrom"]
    name = source["configMapRef"]["name"]
    (data,) = (o["data"] for o in objects if o["kind"] == "ConfigMap" and o["metadata"]["name"] == name)
    return dict(data)


def ports(objects: Objects) -> dict[str, int]:
    """The server's ports by name."""
    (server,) = pod(objects)["containers"]
    return {port["name"]: port["containerPort"] for port in server["ports"]}


def volume_kind(objects: Objects) -> str:
    """The kind of volume that holds the model."""
    (store,) = (volume for volume in pod(objects)["volumes"] if volume["name"] == "model-store")
    if store.get("emptyDir", {}).get("medium") == "Memory":
        return "memory"
    kind: str
    (kind,) = store.keys() - {"name"}
    return {"persistentVolumeClaim": "persistent", "ephemeral": "per pod"}.get(kind, kind)


def images(objects: Objects) -> list[str]:
    """All images that a pod needs, the model's first."""
    spec = pod(objects)
    mounted = [volume["image"]["reference"] for volume in spec["volumes"] if "image" in volume]
    return mounted + [c["image"] for c in (spec.get("initContainers") or []) + spec["containers"]]


def containers(objects: Objects) -> list[dict[str, Any]]:
    """All containers of the pod, the init container first."""
    return [*(pod(objects).get("initContainers") or []), *pod(objects)["containers"]]


def pods(objects: Objects) -> list[dict[str, Any]]:
    """The pod templates of all Deployments, and then of all CronJobs."""
    deployments = [found["spec"] for found in objects if found["kind"] == "Deployment"]
    jobs = [found["spec"]["jobTemplate"]["spec"] for found in objects if found["kind"] == "CronJob"]
    return [spec["template"] for spec in deployments + jobs]


def composed(tmp_path: Path, *components: str, more: str = "", on: str = "base") -> Path:
    """A kustomization outside the repository: the base, or what `on` names, with components."""
    here = os.path.relpath(KUSTOMIZE.resolve(), tmp_path.resolve())
    ground = f"{here}/{on}"
    if "autoscaling-keda" in components:  # needs a namespace
        (tmp_path / "ground").mkdir(exist_ok=True)
        (tmp_path / "ground/kustomization.yaml").write_text(f"resources: [../{ground}]\nnamespace: ml\n")
        ground = "ground"
    listed = "".join(f"\n  - {here}/components/{name}" for name in components)
    text = f"resources:\n  - {ground}\n" + (f"components:{listed}\n" if components else "") + more
    (tmp_path / "kustomization.yaml").write_text(text)
    return tmp_path


def included(on: str) -> set[str]:
    """The components that an overlay has already; none for the base."""
    listed = yaml.safe_load((KUSTOMIZE / on / "kustomization.yaml").read_text()).get("components", [])
    return {Path(name).name for name in listed}


def added(component: str, on: str = "base") -> list[str]:
    """What adds a component to the base or an overlay: nothing if that has it, else what it needs before it too."""
    needed = [NEEDS[component]] if component in NEEDS else []
    return [name for name in [*needed, component] if name not in included(on)]


def autoscalers(objects: Objects) -> Objects:
    """All objects that own the number of replicas."""
    return [found for found in objects if found["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]


def replicas(objects: Objects) -> str:
    """How many pods, in words."""
    for found in objects:
        if found["kind"] == "HorizontalPodAutoscaler":
            return f"{found['spec']['minReplicas']} to {found['spec']['maxReplicas']}"
    return str(only(objects, "Deployment")["spec"]["replicas"])


def roll(path: Path, tag: str) -> None:
    """Change an overlay's model by the command that docs/how-to/deploy-on-kubernetes.md gives for it."""
    (command,) = commands("docs/how-to/deploy-on-kubernetes.md", "sed")
    *words, script, _ = shlex.split(command)
    subprocess.run([*words, script.replace("1.1.0", tag), path / "kustomization.yaml"], check=True)


def main() -> int:
    """Render and validate all, into build/manifests, and print a line for each overlay."""
    target = ROOT / "build/manifests"
    target.mkdir(parents=True, exist_ok=True)
    base = {found["kind"] for found in render(KUSTOMIZE / "base")}
    print(f"{'overlay':26} {'volume':11} {'replicas':9} {'model':22} {'Kubernetes':14} beyond base")
    for overlay in (*OVERLAYS, CANARY):
        objects = render(KUSTOMIZE / "overlays" / overlay)
        for version in versions(overlay):
            validate(objects, version)
        (target / f"{overlay}.yaml").write_text(yaml.safe_dump_all(objects, sort_keys=False))
        if overlay == CANARY:  # beside production, which is above
            objects = of_instance(objects, "production-candidate")
        more = ", ".join(found["kind"] for found in objects if found["kind"] not in base) or "nothing"
        more = f"beside production: {more}" if overlay == CANARY else more
        held = f"{versions(overlay)[0]} to {versions(overlay)[-1]}"
        print(f"{overlay:26} {volume_kind(objects):11} {replicas(objects):9} {images(objects)[0]:22} {held:14} {more}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
