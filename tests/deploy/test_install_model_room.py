"""install-model under the limits of its pod, which the kubelet enforces by eviction."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from paravec_model.artifact import read_manifest

from .manifests import COMPONENTS, KUSTOMIZE, Objects, composed, in_bytes, of_instance, pod, pods, render, volume_kind
from .stores import Install, entry_of, flip, held, one_line, same, variant

MIB = 2**20


def as_large_as(source: Path, target: Path, size: int) -> Path:
    """A model whose manifest says that it has `size` bytes in one file, which is empty."""
    variant(source, target, payload=1)
    manifest = read_manifest(target)
    payload = replace(manifest.files["payload.npy"], size=size)
    manifest = replace(manifest, files={"payload.npy": payload}, digest="")
    (target / "manifest.json").write_text(manifest.to_json())
    return target


@pytest.mark.parametrize(
    ("variable", "raise_"),
    [
        ("EPHEMERAL_STORAGE_LIMIT", "raise limits.ephemeral-storage of install-model"),
        ("MEMORY_LIMIT", "raise limits.memory of all containers"),
    ],
)
def test_a_model_above_the_pods_limit_is_refused(
    install: Install, source: Path, store: Path, link: Path, tmp_path: Path, variable: str, raise_: str
) -> None:
    """A model that the limit does not leave room for is one line, which names the limit to raise; nothing is copied."""
    big = as_large_as(source, tmp_path / "big", 800 * MIB)
    error = one_line(install(big, store, link, variables={variable: str(1024 * MIB)}))
    assert f"takes {800 * 1024 + 64} KiB" in error
    assert raise_ in error
    assert held(store) == []
    assert not link.is_symlink()


def test_a_limit_leaves_room_for_logs(install: Install, source: Path, store: Path, link: Path, tmp_path: Path) -> None:
    """A limit that the model alone fits has to leave 256 MiB for what else the pod writes."""
    big = variant(source, tmp_path / "big", payload=8 * MIB)
    size = sum(path.stat().st_size for path in big.iterdir())
    small, large = ({"EPHEMERAL_STORAGE_LIMIT": str(256 * MIB + size * parts // 4)} for parts in (3, 6))
    assert "are free" in one_line(install(big, store, link, variables=small))
    assert install(big, store, link, variables=large).returncode == 0
    # What the store holds counts.
    other = variant(big, tmp_path / "other", version="2")
    assert "are free" in one_line(install(other, store, link, variables=large))
    assert same(big, link)


def test_a_damaged_copy_makes_room_within_the_limit(
    install: Install, source: Path, store: Path, link: Path, tmp_path: Path
) -> None:
    """Where the limit has room for one copy, the damaged one is removed before it is replaced."""
    big = variant(source, tmp_path / "big", payload=8 * MIB)
    limit = {"EPHEMERAL_STORAGE_LIMIT": str((256 + 14) * MIB)}
    assert install(big, store, link, variables=limit).returncode == 0
    flip(store / entry_of(big) / "syn1neg.npy")
    assert install(big, store, link, variables=limit).returncode == 0
    assert same(big, link)


def test_a_volume_in_memory_names_its_size_limit(
    install: Install, source: Path, mounted: Callable[..., Path], tmp_path: Path
) -> None:
    """On a tmpfs, which has the size of the volume's sizeLimit, the line names that."""
    big = variant(source, tmp_path / "big", payload=2 * MIB)
    store = mounted("size=1m")
    error = one_line(install(big, store, tmp_path / "run/model", variables={"MEMORY_LIMIT": str(1024 * MIB)}))
    assert "raise the volume's sizeLimit" in error


def test_a_limit_that_is_no_number_is_named(install: Install, source: Path, store: Path, link: Path) -> None:
    """A quantity in place of bytes is one line."""
    error = one_line(install(source, store, link, variables={"MEMORY_LIMIT": "4Gi"}))
    assert "MEMORY_LIMIT is 4Gi, which is no number of bytes" in error


def check_room(objects: Objects) -> None:
    """The limits of a rendering agree: what install-model may copy fits what the kubelet lets the pod write."""
    spec = pod(objects)
    containers = {one["name"]: one for one in (spec.get("initContainers") or []) + spec["containers"]}
    for one in containers.values():
        requests, limits = one["resources"]["requests"], one["resources"]["limits"]
        # A request below the limit would let the scheduler choose a node without the room.
        assert requests["ephemeral-storage"] == limits["ephemeral-storage"]
    kind = volume_kind(objects)
    if kind == "image":
        return
    install = containers["install-model"]
    limits = {
        one["name"]: one["valueFrom"]["resourceFieldRef"]
        for one in install.get("env", [])
        if "resourceFieldRef" in one.get("valueFrom", {})
    }
    (store,) = (volume for volume in spec["volumes"] if volume["name"] == "model-store")
    if kind in ("persistent", "per pod"):
        assert limits == {}
        return
    name, resource = {
        "emptyDir": ("EPHEMERAL_STORAGE_LIMIT", "ephemeral-storage"),
        "memory": ("MEMORY_LIMIT", "memory"),
    }[kind]
    assert limits == {name: {"containerName": "install-model", "resource": f"limits.{resource}"}}
    limit = in_bytes(install["resources"]["limits"][resource])
    if kind == "emptyDir":
        # The kubelet holds the volume to the pod's limit, so there is no second value to raise.
        assert "sizeLimit" not in store["emptyDir"]
        others = [one for one in containers.values() if one is not install]
        assert sum(in_bytes(one["resources"]["limits"][resource]) for one in others) <= 256 * MIB
    else:
        assert in_bytes(store["emptyDir"]["sizeLimit"]) + 256 * MIB <= limit
        assert limit <= in_bytes(containers["server"]["resources"]["limits"][resource])


needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@needs_kubectl
@pytest.mark.parametrize("on", ["base", *(f"overlays/{path.name}" for path in (KUSTOMIZE / "overlays").iterdir())])
def test_the_limits_of_a_rendering_agree(on: str) -> None:
    """Requests, limits, the volume's size and what install-model is told fit each other in each overlay."""
    objects = render(KUSTOMIZE / on)
    for instance in {one["metadata"]["labels"]["app.kubernetes.io/instance"] for one in pods(objects)}:
        check_room(of_instance(objects, instance))


@needs_kubectl
@pytest.mark.parametrize("component", [name for name in COMPONENTS if name.startswith("volume-")])
@pytest.mark.parametrize("on", ["base", "overlays/staging"])
def test_the_limits_agree_for_each_kind_of_volume(on: str, component: str, tmp_path: Path) -> None:
    """A kind of volume that replaces another one replaces its limits too."""
    if on == "overlays/staging" and component == "volume-memory":
        pytest.skip("the overlay has it already")
    check_room(render(composed(tmp_path, component, on=on)))
