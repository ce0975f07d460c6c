"""Components compose: each pair of them, in both orders, on the base and on top of an overlay."""

import functools
import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from .manifests import (
    COMPONENTS,
    NEEDS,
    SUPPORTED,
    Objects,
    autoscalers,
    composed,
    included,
    pods,
    render,
    render_together,
    validate,
)

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

GROUPS = ("volume-", "autoscaling")
"""Components whose names begin alike take each other's place."""

VOLUMES = [name for name in COMPONENTS if name.startswith("volume-")]
SCALED = [name for name in COMPONENTS if name.startswith("autoscaling")]

EXCLUDED = (
    {
        ("prune-models", "volume-persistent"): "paravec-models",  # prune-models needs the claim
        ("http-tls", "http"): "paravec-http",  # http-tls changes its Service
    }
    | {(name, "prune-models"): "paravec-models" for name in VOLUMES if name != "volume-persistent"}
    | {
        ("volume-image", name): "install-model"  # volume-image removes it, and the others need it
        for name in VOLUMES
        if name != "volume-image"
    }
    | {
        ("volume-single-pod", name): "rollingUpdate"  # a rollout has two pods, and so have all of these
        for name in (*VOLUMES, *SCALED)
        if name != "volume-single-pod"
    }
)
"""Pairs that cannot follow each other in this order, and what the error names."""

Pair = tuple[str, str, str]

BASES = ("base", "overlays/production")
PAIRS = [
    (on, one, other)
    for on in BASES
    # Kustomize refuses a component's objects twice.
    for one, other in itertools.combinations([name for name in COMPONENTS if name not in included(on)], 2)
    # What needs another component is paired with that one alone, and on production, which has both, with all.
    if NEEDS.get(one, other) == other and NEEDS.get(other, one) == one
]
# Volumes touch most of the base, so their pairs are tested always.
ALWAYS = [pair for pair in PAIRS if pair[0] == "base" and "volume-" in pair[1] + pair[2]]
SLOW = [pair for pair in PAIRS if pair not in ALWAYS]
TOGETHER = 12
"""Pairs that one process renders; with more, a worker renders too many that another one tests."""
BATCHES = [pairs[start : start + TOGETHER] for pairs in (ALWAYS, SLOW) for start in range(0, len(pairs), TOGETHER)]


def check(objects: Objects) -> None:
    """Each volume has one source, each mount a volume and each volume a mount; the replicas have one owner; all is
    valid."""
    volumes = [volume for template in pods(objects) for volume in template["spec"]["volumes"]]
    assert [volume for volume in volumes if len(volume) != 2] == []
    for spec in (template["spec"] for template in pods(objects)):
        containers = [*(spec.get("initContainers") or []), *spec["containers"]]
        assert all("image" in container for container in containers)
        mounted = {mount["name"] for container in containers for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}
    claimed = {volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume}
    assert claimed == {found["metadata"]["name"] for found in objects if found["kind"] == "PersistentVolumeClaim"}
    for server in (one for one in objects if (one["kind"], app(one)) == ("Deployment", "paravec-server")):
        name, spec = server["metadata"]["name"], server["spec"]
        owners = [one for one in autoscalers(objects) if one["spec"]["scaleTargetRef"]["name"] == name]
        # A candidate leaves the autoscaler out, and its overlay gives a number.
        assert len(owners) == (0 if "replicas" in spec or name.endswith("-candidate") else 1)
        if spec["strategy"].get("type") == "Recreate":
            assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    validate(objects, SUPPORTED[-1])


def app(found: dict[str, Any]) -> str:
    """What an object is a part of, as its label says."""
    return str(found["metadata"].get("labels", {}).get("app.kubernetes.io/name"))


def unordered(value: Any) -> Any:
    """The value, with all lists sorted."""
    if isinstance(value, dict):
        return {key: unordered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted((unordered(inner) for inner in value), key=lambda inner: json.dumps(inner, sort_keys=True))
    return value


def in_both_orders(pairs: Sequence[Pair], path: Path) -> dict[Pair, list[Objects]]:
    """What each pair renders, in the orders that work; each pair in a namespace of its own."""
    found: dict[Pair, list[Objects]] = {pair: [] for pair in pairs}
    for way in (1, -1):
        # A pair that is not rendered in this order leaves its namespace unused, so that both orders have the same one.
        orders = {pair: pair[1:][::way] for pair in pairs}
        folders = {pair: path / f"{way}-{number}" for number, pair in enumerate(pairs) if orders[pair] not in EXCLUDED}
        for pair, folder in folders.items():
            folder.mkdir()
            composed(folder, *orders[pair], on=pair[0])
        together = render_together({f"n{pairs.index(pair)}": one for pair, one in folders.items()}, path / f"all{way}")
        for pair, objects in zip(folders, together, strict=True):
            found[pair].append(objects)
    return found


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], dict[Pair, list[Objects]]]:
    """What the pairs of a batch render, once for all of them."""

    @functools.cache
    def batch(number: int) -> dict[Pair, list[Objects]]:
        try:
            return in_both_orders(BATCHES[number], tmp_path_factory.mktemp("batch"))
        except AssertionError:
            # One of them does not render: each by itself, so that the right one fails.
            return {}

    return batch


@pytest.mark.parametrize(
    ("batch", "on", "one", "other"),
    [
        pytest.param(number, *pair, id="-".join(pair), marks=[] if pair in ALWAYS else [pytest.mark.slow])
        for number, pairs in enumerate(BATCHES)
        for pair in pairs
    ],
)
def test_a_pair_composes_in_both_orders(
    batch: int, on: str, one: str, other: str, batches: Callable[[int], dict[Pair, list[Objects]]], tmp_path: Path
) -> None:
    """Both orders are valid and render the same, except that the last of two volumes or autoscalers decides."""
    pair = (on, one, other)
    rendered = (batches(batch) or in_both_orders([pair], tmp_path))[pair]
    assert all(rendered)
    if not any(one.startswith(group) and other.startswith(group) for group in GROUPS):
        assert unordered(rendered[0]) == unordered(rendered[-1])
        rendered = rendered[:1]
    for objects in rendered:
        check(objects)


@pytest.mark.parametrize("order", EXCLUDED)
@pytest.mark.parametrize("on", BASES)
def test_an_excluded_pair_is_refused(on: str, order: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """An order that cannot work does not render, and the message names what is missing."""
    if included(on) & set(order):
        pytest.skip("the overlay has one of them already")
    with pytest.raises(AssertionError, match=EXCLUDED[order]):
        render(composed(tmp_path_factory.mktemp("pair"), *order, on=on))


@pytest.mark.parametrize("component", VOLUMES)
@pytest.mark.parametrize("on", ["overlays/staging", "overlays/production"])
def test_a_kind_of_volume_replaces_the_overlays(
    on: str, component: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On top of an overlay, another kind of volume renders as it does on the base, with the same init containers."""
    if component in included(on):
        pytest.skip("the overlay has it already")
    objects, plain = (
        render(composed(tmp_path_factory.mktemp("volume"), component, on=under)) for under in (on, "base")
    )
    check(objects)
    found, wanted = (unordered(pods(one)[0]["spec"]["volumes"]) for one in (objects, plain))
    assert found == wanted
    found, wanted = ([one["name"] for one in pods(o)[0]["spec"].get("initContainers") or []] for o in (objects, plain))
    assert found == wanted
