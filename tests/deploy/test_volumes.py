"""Volumes for storage that one node or one pod at a time can mount."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from ..pages import blocks
from .manifests import Objects, composed, only, pod, render

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def store(objects: Objects) -> dict[str, Any]:
    """The volume that holds the model."""
    (found,) = (volume for volume in pod(objects)["volumes"] if volume["name"] == "model-store")
    return dict(found)


def test_each_pod_has_a_claim_of_its_own(tmp_path: Path) -> None:
    """The claim is made from a template, for one node, of the class that the page's patch names, and none is shared."""
    page = "docs/how-to/deploy-on-kubernetes.md"
    (patch,) = (block.code for block in blocks(page, "yaml") if "storageClassName" in block.code)
    objects = render(composed(tmp_path, "volume-persistent", "volume-per-pod", more=patch))
    spec = store(objects)["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert spec["accessModes"] == ["ReadWriteOnce"]
    assert spec["storageClassName"] == "fast"
    assert spec["resources"]["requests"]["storage"] == "4Gi"
    assert "PersistentVolumeClaim" not in {found["kind"] for found in objects}


def test_a_single_pod_is_never_beside_another(tmp_path: Path) -> None:
    """On top of production one pod keeps a claim that only one can mount, and a rollout stops it first."""
    objects = render(composed(tmp_path, "volume-single-pod", on="overlays/production"))
    claim = only(objects, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert store(objects)["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    deployment = only(objects, "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert "HorizontalPodAutoscaler" not in {found["kind"] for found in objects}
