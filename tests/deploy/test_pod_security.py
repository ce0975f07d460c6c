"""Pods keep what Kubernetes' Pod Security Standard `restricted` and OpenShift's `restricted-v2` ask of them."""

import copy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .manifests import COMPONENTS, KUSTOMIZE, OVERLAYS, added, composed, pods, render

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

Spec = dict[str, Any]

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
"""Kinds of volumes that both allow; `image` by Kubernetes since 1.33, before it is on by default."""


def problems(spec: Spec) -> Iterator[str]:
    """What the standard `restricted` refuses in a pod."""
    yield from (key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))
    for volume in spec["volumes"]:
        yield from sorted(volume.keys() - {"name"} - VOLUMES)
    shared = spec.get("securityContext", {})
    yield from (key for key in ("sysctls", "seLinuxOptions", "appArmorProfile") if shared.get(key))
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        own = container.get("securityContext", {})
        yield from (key for key in ("privileged", "procMount", "seLinuxOptions", "appArmorProfile") if own.get(key))
        if own.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation"
        if not (shared | own).get("runAsNonRoot"):
            yield "runAsNonRoot"
        if (shared | own).get("runAsUser") == 0:
            yield "runAsUser"
        if (shared | own).get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield "seccompProfile"
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield "capabilities"
        yield from ("hostPort" for port in container.get("ports", []) if port.get("hostPort"))
        probes = [container.get(kind, {}) for kind in ("startupProbe", "readinessProbe", "livenessProbe")]
        for handler in (*probes, *container.get("lifecycle", {}).values()):
            yield from ("host" for one in handler.values() if isinstance(one, dict) and one.get("host"))


def ids(spec: Spec) -> Iterator[str]:
    """Users and groups that a pod asks for. OpenShift refuses any that is not in the namespace's range."""
    contexts = [spec, *(spec.get("initContainers") or []), *spec["containers"]]
    for context in (one.get("securityContext", {}) for one in contexts):
        yield from sorted(context.keys() & {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_is_restricted(overlay: str) -> None:
    """Each pod of each overlay passes the standard."""
    assert [found for pod in pods(render(KUSTOMIZE / "overlays" / overlay)) for found in problems(pod["spec"])] == []


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("on", ["base", "overlays/production"])
def test_every_component_is_restricted(on: str, component: str, tmp_path: Path) -> None:
    """With each component all pods pass the standard, and after `openshift` they name no user and no group."""
    found = pods(render(composed(tmp_path, *dict.fromkeys([*added(component, on), "openshift"]), on=on)))
    assert found
    for pod in found:
        assert [*problems(pod["spec"])] == []
        assert [*ids(pod["spec"])] == []


def test_a_pod_names_its_group_only() -> None:
    """The images name the user, so that a cluster may choose another; volumes are made writable for a group."""
    (pod,) = pods(render(KUSTOMIZE / "base"))
    assert [*ids(pod["spec"])] == ["fsGroup"]
    for image in ("server/Dockerfile", "model/image/Dockerfile", "client/examples/faq_engine/Dockerfile"):
        # A name would not do: Kubernetes cannot tell whether it is root.
        assert (KUSTOMIZE.parent / image).read_text().count("\nUSER 10001:10001\n") == 1


def put(*path: str | int) -> Callable[[Spec, Any], None]:
    """A function that sets a value deep in a pod's spec, or removes it with None."""

    def change(spec: Any, value: Any) -> None:
        *way, last = path
        for step in way:
            spec = spec.setdefault(step, {}) if isinstance(spec, dict) else spec[step]
        if value is None:
            del spec[last]
        else:
            spec[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "value", "problem"),
    [
        (put("hostNetwork"), True, "hostNetwork"),
        (put("volumes", 0), {"name": "model-store", "hostPath": {"path": "/"}}, "hostPath"),
        (put("securityContext", "runAsNonRoot"), None, "runAsNonRoot"),
        (put("securityContext", "runAsUser"), 0, "runAsUser"),
        (put("securityContext", "seccompProfile"), None, "seccompProfile"),
        (put("containers", 0, "securityContext", "allowPrivilegeEscalation"), None, "allowPrivilegeEscalation"),
        (put("initContainers", 0, "securityContext", "capabilities"), None, "capabilities"),
        (put("containers", 0, "securityContext", "capabilities", "add"), ["NET_ADMIN"], "capabilities"),
        (put("containers", 0, "securityContext", "privileged"), True, "privileged"),
        (put("containers", 0, "ports", 0, "hostPort"), 50051, "hostPort"),
        (put("containers", 0, "livenessProbe", "httpGet", "host"), "example.com", "host"),
    ],
)
def test_what_the_standard_refuses_is_noticed(change: Callable[[Spec, Any], None], value: Any, problem: str) -> None:
    """These tests see each setting that the standard refuses."""
    spec = copy.deepcopy(pods(render(KUSTOMIZE / "base"))[0]["spec"])
    change(spec, value)
    assert problem in [*problems(spec)]
