"""Pods of the overlays, played by podman in the lab: what kubectl renders, less what podman does not know."""

import json
import math
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import yaml

from ..servers import PATIENCE
from .manifests import KUSTOMIZE, ROOT, Objects, pod, ports, render, roll, settings, volume_kind

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


def make_images(artifact: str | Path, tag: str, name: str = "doc2vec-model") -> None:
    """Run `make images` with the lab's builder."""
    variables = (f"ARTIFACT={artifact}", f"MODEL_IMAGE={name}", f"MODEL_TAG={tag}", f"BUILDER={LAB}/builder")
    done = subprocess.run(["make", "images", *variables], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Environment:
    """An overlay in a copy of kustomize/ that can be changed, and the pod that podman makes of it."""

    def __init__(self, folder: Path, overlay: str, port: int, name: str = "paravec-server") -> None:
        shutil.copytree(KUSTOMIZE, folder / "kustomize", dirs_exist_ok=True)
        self.path = folder / "kustomize/overlays" / overlay
        self.target, self.name, self._port = f"127.0.0.1:{port}", name, port
        self.pod = f"{name}-pod-0"
        self.secrets = folder / "secrets"
        """A folder for each Secret, by its name."""
        self.user: int | None = None
        """The user id that a cluster would give the pod, with group 0; the image's by default."""

    def apply(self) -> None:
        """Render and play, in place of what played before: `kubectl apply -k` for the lab."""
        self._stop()
        objects = render(self.path)
        if volume_kind(objects) == "image":
            podman("run", "--detach", "--name", f"{self.pod}-server", *flags(objects, self._port))
            return
        objects = playable(objects, self.name, self._port, self.secrets)
        if self.user is not None:
            pod(objects)["securityContext"] |= {"runAsUser": self.user, "runAsGroup": 0}
        volumes = podman("volume", "ls", "--quiet").split()
        objects = [o for o in objects if o["kind"] != "PersistentVolumeClaim" or o["metadata"]["name"] not in volumes]
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
        listed = [f"  - ../../components/{name}" for name in components]
        file.write_text("\n".join([file.read_text(), "components:", *listed, ""]))

    def probe(self, kind: str) -> tuple[int, str]:
        """Ask what a probe asks, as the kubelet does: status and line."""
        (server,) = pod(render(self.path))["containers"]
        assert server[kind]["httpGet"]["port"] == "operations"
        return self.operations(server[kind]["httpGet"]["path"])

    def operations(self, path: str) -> tuple[int, str]:
        """Status and content of a page of the operations port, read in the server's container."""
        program = (
            "import sys, http.client as h; c = h.HTTPConnection('127.0.0.1', int(sys.argv[1]));"
            "c.request('GET', sys.argv[2]); r = c.getresponse(); print(r.status, r.read().decode())"
        )
        port = ports(render(self.path))["operations"]
        code, printed = self.run("python", "-c", program, str(port), path)
        assert code == 0, printed
        status, _, content = printed.partition(" ")
        return int(status), content.strip()

    def roll(self, tag: str) -> None:
        """Change the model by the command of docs/how-to/deploy-on-kubernetes.md, and apply."""
        roll(self.path, tag)
        self.apply()

    def _stop(self) -> None:
        podman("pod", "rm", "--force", "--ignore", "--time", "40", self.pod)
        podman("rm", "--force", "--ignore", "--time", "40", f"{self.pod}-server")

    def remove(self) -> None:
        """Stop and remove the pod; volumes stay, except those that are the pod's own."""
        self._stop()
        podman("volume", "rm", "--force", "model-link", *(["model-store"] if self.path.name != "production" else []))

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


def playable(objects: Objects, name: str, port: int, secrets: Path) -> Objects:
    """The objects that podman 4.3 can play, as one pod with a published port.

    It knows no replicas or hooks, has one named volume for all emptyDirs of a name, runs init containers again
    when the pod restarts, and pulls where no registry is named. Secrets are folders in `secrets`.
    """
    kept = [found for found in objects if found["kind"] in ("ConfigMap", "Deployment", "PersistentVolumeClaim")]
    (deployment,) = (found for found in kept if found["kind"] == "Deployment")
    deployment["metadata"]["name"], deployment["spec"]["replicas"] = name, 1
    pod = deployment["spec"]["template"]["spec"]
    pod["restartPolicy"] = "Never"
    for key in ("topologySpreadConstraints", "affinity", "serviceAccountName", "automountServiceAccountToken"):
        pod.pop(key, None)
    for volume in pod["volumes"]:
        if "emptyDir" in volume or volume.pop("ephemeral", None):
            volume["emptyDir"] = {}
        if secret := volume.pop("secret", None):
            volume["hostPath"] = {"path": str(secrets / secret["secretName"])}
    for container in pod["initContainers"] + pod["containers"]:
        container["imagePullPolicy"], container["image"] = "Never", f"localhost/{container['image']}"
        # podman would run curl in the container for a livenessProbe; `Environment.probe` asks instead.
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            container.pop(probe, None)
        for variable in container.get("env", []):
            if "resourceFieldRef" in variable.pop("valueFrom", {}):
                variable["value"] = rounded_up(container["resources"]["requests"]["cpu"])
        # podman publishes every port that is named, and two pods cannot both have the host's.
        named = [one for one in container.get("ports", []) if one["name"] == "grpc"]
        container["ports"] = [one | {"hostPort": port, "hostIP": "127.0.0.1"} for one in named]
    return kept


def rounded_up(cpu: str) -> str:
    """Whole cores, as the kubelet puts them into a variable."""
    return str(math.ceil(float(cpu.removesuffix("m")) / 1000)) if cpu.endswith("m") else cpu


def flags(objects: Objects, port: int) -> list[str]:
    """What podman 4.3 runs a server by whose model is an image volume: it has them, but cannot play them."""
    spec = pod(objects)
    (server,) = spec["containers"]
    references = {volume["name"]: volume["image"]["reference"] for volume in spec["volumes"]}
    return [
        *("--pull=never", "--publish", f"127.0.0.1:{port}:{ports(objects)['grpc']}"),
        *(f"--cpus={server['resources']['limits']['cpu']}", *LOCKED),
        *(f"--env={name}={value}" for name, value in settings(objects).items()),
        *(
            f"--mount=type=image,source=localhost/{references[mount['name']]},destination={mount['mountPath']}"
            for mount in server["volumeMounts"]
        ),
        f"localhost/{server['image']}",
    ]
