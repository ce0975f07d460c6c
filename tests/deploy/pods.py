"""Pods of the overlays, played by podman in the lab: what kubectl renders, less what podman does not know."""

import base64
import json
import math
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..servers import PATIENCE
from .manifests import (
    KUSTOMIZE,
    ROOT,
    Objects,
    in_bytes,
    of_instance,
    only,
    pod,
    ports,
    render,
    roll,
    settings,
    volume_kind,
)

LAB = Path(__file__).parent / "lab"

# How podman says that the container may do nothing; the manifests' tests hold them to the same.
LOCKED = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges")


def podman(*arguments: str | Path, input: str | None = None, check: bool = True) -> str:
    """Run podman; its standard output and error."""
    done = subprocess.run(
        [LAB / "podman", *arguments],
        input=input,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout
    return done.stdout


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def need_lab() -> None:
    """Make the base images; the test is skipped, with the reason, where the lab cannot run."""
    bases = subprocess.run([LAB / "bases"], capture_output=True, text=True, check=False)
    if bases.returncode == 3:
        pytest.skip(bases.stderr.strip())
    assert bases.returncode == 0, bases.stderr


def make_images(artifact: str | Path, tag: str, name: str = "doc2vec-model", target: str = "images") -> None:
    """Run `make images`, or `make model-image`, with the lab's builder."""
    variables = (f"ARTIFACT={artifact}", f"MODEL_IMAGE={name}", f"MODEL_TAG={tag}", f"BUILDER={LAB}/builder")
    done = subprocess.run(["make", target, *variables], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Environment:
    """An overlay in a copy of kustomize/ that can be changed, and the pod that podman makes of it."""

    def __init__(
        self, folder: Path, overlay: str, port: int, name: str = "paravec-server", instance: str | None = None
    ) -> None:
        """Copy kustomize/ into `folder` if it is not there. `instance` is one of the overlay's several environments."""
        if not (folder / "kustomize").exists():
            shutil.copytree(KUSTOMIZE, folder / "kustomize")
        self.path = folder / "kustomize/overlays" / overlay
        self.target, self.name, self._port, self._instance = f"127.0.0.1:{port}", name, port, instance
        self.pod = f"{name}-pod-0"
        self.secrets = folder / "secrets"
        """A folder for each Secret, by its name, and for each ConfigMap that is mounted."""
        self.volumes = folder / "volumes"
        """A folder for each claim, by its name, and for each volume of a pod."""
        self.user: int | None = None
        """The user id that a cluster would give the pod, with group 0; the image's by default."""

    def objects(self) -> Objects:
        """What kubectl renders of the environment."""
        objects = render(self.path)
        return objects if self._instance is None else of_instance(objects, self._instance)

    def apply(self) -> None:
        """Render and play, in place of what played before: `kubectl apply -k` for the lab."""
        self.remove()
        objects = self.objects()
        if only(objects, "Deployment")["spec"].get("replicas") == 0:
            return
        if volume_kind(objects) == "image":
            podman("run", "--detach", "--name", f"{self.pod}-server", *flags(objects, self._port, self.secrets))
            return
        objects = playable(objects, self.name, self._port, self.secrets, self.volumes)
        if self.user is not None:
            pod(objects)["securityContext"] |= {"runAsUser": self.user, "runAsGroup": 0}
        podman("play", "kube", "-", input=yaml.safe_dump_all(objects), check=False)

    def set_cpu(self, limit: str | None, request: str) -> None:
        """Patch the server's CPU in the overlay, as its operator would."""
        path = "/spec/template/spec/containers/0/resources"
        limits = {"memory": "1Gi"} | ({"cpu": limit} if limit else {})
        patch = [
            {"op": "replace", "path": f"{path}/limits", "value": limits},
            {"op": "replace", "path": f"{path}/requests/cpu", "value": request},
        ]
        more = {"patches": [{"target": {"kind": "Deployment", "name": "paravec-server"}, "patch": json.dumps(patch)}]}
        file = self.path / "kustomization.yaml"
        file.write_text(file.read_text() + yaml.safe_dump(more))

    def add(self, *components: str) -> None:
        """Add components to the overlay, as its operator would."""
        file = self.path / "kustomization.yaml"
        text = file.read_text()
        if "components:\n" not in text:
            text += "components:\n"
        listed = "".join(f"  - ../../components/{name}\n" for name in components)
        file.write_text(text.replace("components:\n", f"components:\n{listed}"))

    def probe(self, kind: str) -> tuple[int, str]:
        """Ask what a probe asks, as the kubelet does: status and line."""
        (server,) = pod(self.objects())["containers"]
        assert server[kind]["httpGet"]["port"] == "operations"
        return self.operations(server[kind]["httpGet"]["path"])

    def operations(self, path: str) -> tuple[int, str]:
        """Status and content of a page of the operations port, read in the server's container."""
        program = (
            "import sys, http.client as h; c = h.HTTPConnection('127.0.0.1', int(sys.argv[1]));"
            "c.request('GET', sys.argv[2]); r = c.getresponse(); print(r.status, r.read().decode())"
        )
        port = ports(self.objects())["operations"]
        code, printed = self.run("python", "-c", program, str(port), path)
        assert code == 0, printed
        status, _, content = printed.partition(" ")
        return int(status), content.strip()

    def roll(self, tag: str) -> None:
        """Change the model by the command of docs/how-to/deploy-on-kubernetes.md, and apply."""
        roll(self.path, tag)
        self.apply()

    def run_job(self) -> str:
        """Run the container of the CronJob once, in place of the schedule; what it said."""
        spec = only(render(self.path), "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        claims = {one["name"]: self.volumes / one["persistentVolumeClaim"]["claimName"] for one in spec["volumes"]}
        (command,) = container["command"]
        return podman(
            *("run", "--rm", "--pull=never", "--network=none", *LOCKED, f"--entrypoint={command}"),
            *(f"--volume={claims[mount['name']]}:{mount['mountPath']}" for mount in container["volumeMounts"]),
            *(f"localhost/{container['image']}", *container["args"]),
        )

    def remove(self) -> None:
        """Stop and remove the pod."""
        podman("pod", "rm", "--force", "--ignore", "--time", "40", self.pod)
        podman("rm", "--force", "--ignore", "--time", "40", f"{self.pod}-server")

    def stop(self) -> int:
        """Send SIGTERM to the server, as a cluster does, and return its exit code."""
        podman("stop", "--time", "40", f"{self.pod}-server")
        return int(self.container()["State"]["ExitCode"])

    def container(self, name: str = "server") -> dict[str, Any]:
        """What podman knows of a container."""
        found: dict[str, Any] = json.loads(podman("inspect", f"{self.pod}-{name}"))[0]
        return found

    def log(self, name: str = "server") -> str:
        """What a container wrote."""
        return podman("logs", f"{self.pod}-{name}", check=False)

    def run(self, *command: str) -> tuple[int, str]:
        """A command in the server's container."""
        done = subprocess.run(
            [LAB / "podman", "exec", f"{self.pod}-server", *command], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def wait_for_exit(self, name: str) -> int:
        """The exit code of a container, once it has ended."""
        return int(podman("wait", f"{self.pod}-{name}"))


def playable(objects: Objects, name: str, port: int, secrets: Path, volumes: Path) -> Objects:
    """The objects that podman 4.3 can play, as one pod with a published port.

    It knows no replicas or hooks, runs init containers again when the pod restarts, and pulls where no registry is
    named. Secrets, and ConfigMaps that are mounted, are folders in `secrets`. Volumes are folders in `volumes`: podman
    fills a named volume with what the image has in its place, and gives it that place's owner. Init containers have to
    end, so a sidecar becomes a container beside the server, which is stopped with it and not after it.
    """
    kept = [found for found in objects if found["kind"] in ("ConfigMap", "Deployment")]
    (deployment,) = (found for found in kept if found["kind"] == "Deployment")
    deployment["metadata"]["name"], deployment["spec"]["replicas"] = name, 1
    pod = deployment["spec"]["template"]["spec"]
    pod["restartPolicy"] = "Never"
    for key in ("topologySpreadConstraints", "affinity", "serviceAccountName", "automountServiceAccountToken"):
        pod.pop(key, None)
    started = pod.get("initContainers") or []
    pod["initContainers"] = [one for one in started if "restartPolicy" not in one]
    pod["containers"] += [one for one in started if one.pop("restartPolicy", None)]
    for volume in pod["volumes"]:
        if "emptyDir" in volume or "ephemeral" in volume:
            place = volumes / f"{name}-{volume['name']}"
            shutil.rmtree(place, ignore_errors=True)
            volume["hostPath"] = {"path": str(_made(place, 0o777))}
        if claim := volume.pop("persistentVolumeClaim", None):
            group = pod["securityContext"]["fsGroup"]
            volume["hostPath"] = {"path": str(_made(volumes / claim["claimName"], 0o2775, group))}
        if secret := volume.pop("secret", None):
            volume["hostPath"] = {"path": str(secrets / secret["secretName"])}
        if mounted := volume.pop("configMap", None):
            volume["hostPath"] = {"path": str(written(objects, mounted["name"], secrets))}
    for container in pod["initContainers"] + pod["containers"]:
        container["imagePullPolicy"], container["image"] = "Never", f"localhost/{container['image']}"
        # podman would run curl in the container for a livenessProbe; `Environment.probe` asks instead.
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            container.pop(probe, None)
        for variable in container.get("env", []):
            if reference := variable.pop("valueFrom", {}).get("resourceFieldRef"):
                kind, _, resource = reference["resource"].partition(".")
                variable["value"] = kubelet_value(container["resources"][kind][resource])
        # podman publishes every port that is named, and two pods cannot both have the host's.
        named = [one for one in container.get("ports", []) if one["name"] == "grpc"]
        container["ports"] = [one | {"hostPort": port, "hostIP": "127.0.0.1"} for one in named]
    return kept


def kubelet_value(quantity: str) -> str:
    """A quantity as the kubelet puts it into a variable: whole cores, rounded up, or bytes."""
    if quantity.endswith("m"):
        return str(math.ceil(float(quantity[:-1]) / 1000))
    return quantity if quantity.isdecimal() else str(in_bytes(quantity))


def flags(objects: Objects, port: int, secrets: Path) -> list[str]:
    """What podman 4.3 runs a server by whose model is an image volume: it has them, but cannot play them.

    ConfigMaps that are mounted become folders in `secrets`.
    """
    spec = pod(objects)
    (server,) = spec["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in server["volumeMounts"]}
    mounted = []
    for volume in spec["volumes"]:
        if "image" in volume:
            source = f"type=image,source=localhost/{volume['image']['reference']}"
        else:
            source = f"type=bind,ro=true,source={written(objects, volume['configMap']['name'], secrets)}"
        mounted.append(f"--mount={source},destination={mounts[volume['name']]}")
    return [
        *("--pull=never", "--publish", f"127.0.0.1:{port}:{ports(objects)['grpc']}"),
        *(f"--cpus={server['resources']['limits']['cpu']}", *LOCKED),
        *(f"--env={name}={value}" for name, value in settings(objects).items()),
        *mounted,
        f"localhost/{server['image']}",
    ]


def written(objects: Objects, name: str, folder: Path) -> Path:
    """A ConfigMap as a folder in `folder`."""
    (found,) = (o for o in objects if (o["kind"], o["metadata"]["name"]) == ("ConfigMap", name))
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    for key, content in found.get("data", {}).items():
        (place / key).write_text(content)
    for key, content in found.get("binaryData", {}).items():
        (place / key).write_bytes(base64.b64decode(content))
    return place


def _made(place: Path, mode: int, group: int = 0) -> Path:
    """A folder as the kubelet makes a volume: of a group that may write to it for fsGroup, else open to all."""
    place.mkdir(parents=True, exist_ok=True)
    os.chown(place, 0, group)
    place.chmod(mode)
    return place
