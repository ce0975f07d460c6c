"""The overlay production-canary, and the steps of its page."""

import itertools
import shutil
from pathlib import Path

import pytest
import yaml

from .canary import PAGE, change, steps
from .manifests import (
    CANARY,
    KUSTOMIZE,
    SUPPORTED,
    Objects,
    images,
    of_instance,
    only,
    pod,
    pods,
    render,
    settings,
    validate,
)
from .test_candidates import missing, reached, rules, weights
from .test_composition import check, unordered
from .test_environments import INSTANCE, allowed, matches, selectors
from .test_manifests import changed, copied

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

STABLE, CANDIDATE = "production", "production-candidate"


@pytest.fixture(scope="module")
def objects() -> Objects:
    """What the overlay renders to."""
    return render(KUSTOMIZE / "overlays" / CANARY)


def test_all_is_valid(objects: Objects) -> None:
    """Each object of both is valid for the oldest and the newest Kubernetes."""
    for version in (SUPPORTED[0], SUPPORTED[-1]):
        validate(objects, version)
    check(objects)


def test_production_stays_as_it_is(objects: Objects) -> None:
    """The canary renders each object of production unchanged, so its pods go on."""
    assert missing(render(KUSTOMIZE / "overlays/production"), objects) == []


def test_the_candidate_is_production_with_other_names(objects: Objects) -> None:
    """Settings and pods are production's, but for names and labels; what must exist once does."""
    stable, candidate = of_instance(objects, STABLE), of_instance(objects, CANDIDATE)
    assert settings(candidate) == settings(stable)
    specs = yaml.safe_dump([pod(stable), pod(candidate)]).replace(CANDIDATE, STABLE).replace("-candidate", "")
    assert yaml.safe_load(specs)[0] == yaml.safe_load(specs)[1]
    assert only(candidate, "Deployment")["spec"]["replicas"] == 2
    kinds = sorted(found["kind"] for found in candidate)
    assert kinds == ["ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"]
    names = [(found["kind"], found["metadata"]["name"]) for found in objects]
    assert len(names) == len(set(names))
    # Kustomize's own, which carry the weights and a name.
    assert not any(name in ("canary", "candidate") for _, name in names)


def test_no_selector_takes_pods_of_the_other(objects: Objects) -> None:
    """Each Deployment, Service, budget, policy and spread selects pods of its own environment alone."""
    labels = {one: pods(of_instance(objects, one))[0]["metadata"]["labels"] for one in (STABLE, CANDIDATE)}
    kinds = set()
    for found in objects:
        for selector in selectors(found):
            if "matchLabels" in selector:
                kinds.add(found["kind"])
                taken = [one for one in labels if matches(selector, labels[one])]
                assert len(taken) == 1, (found["kind"], found["metadata"]["name"])
                assert found["metadata"].get("labels", {}).get(INSTANCE, STABLE) == taken[0]
    assert kinds == {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"}


def test_network_policies_keep_the_two_apart(objects: Objects) -> None:
    """A caller of the namespace reaches both, and neither reaches the other."""
    stable, candidate = (pods(of_instance(objects, one))[0]["metadata"]["labels"] for one in (STABLE, CANDIDATE))
    caller = {"app.kubernetes.io/name": "shop"}
    assert allowed(objects, caller, stable, "grpc")
    assert allowed(objects, caller, candidate, "grpc")
    assert not allowed(objects, stable, candidate, "grpc")
    assert not allowed(objects, candidate, stable, "grpc")


def test_the_header_decides_whatever_the_weights(objects: Objects) -> None:
    """`true` leads to the candidate, `false` to the stable, and all other calls go by weight."""
    found = rules(objects)
    assert found.keys() == {None, "true", "false"}
    assert {value: [reached(objects, one) for one in found[value]["backendRefs"]] for value in ("true", "false")} == {
        "true": [CANDIDATE],
        "false": [STABLE],
    }
    assert weights(objects) == {STABLE: 100, CANDIDATE: 0}


def test_the_steps_of_the_page_are_one_line_each(tmp_path: Path) -> None:
    """Each command changes one line of one file, and of the rendering only what the page says."""
    overlays = copied(tmp_path) / "overlays"
    before, files = render(overlays / CANARY), snapshot(overlays)
    shares, tags, count = [], [], []
    for line in steps():
        change(line, overlays)
        now = snapshot(overlays)
        ((old, new),) = [(files[name], now[name]) for name in files if files[name] != now[name]]
        assert sum(a != b for a, b in zip(old, new, strict=True)) == 1, line
        objects = render(overlays / CANARY)
        lines = changed(before, objects)
        if "weights=" in line:
            assert all(a.startswith("weight: ") for a, _ in lines)
            assert sum(weights(objects).values()) == 100
            shares.append(tuple(weights(objects).values()))
        else:
            # A pod's containers of the model's image have one tag, and what prunes its store has it too.
            assert len(set(lines)) == 1, lines
        tags.append(tuple(images(of_instance(objects, one))[0].split(":")[1] for one in (STABLE, CANDIDATE)))
        count.append(only(of_instance(objects, CANDIDATE), "Deployment")["spec"]["replicas"])
        before, files = objects, now
    assert shares == [(95, 5), (50, 50), (100, 0), (0, 100), (100, 0)]
    assert tags == [("1.0.0", "1.1.0")] * 6 + [("1.1.0", "1.1.0")] * 3
    assert count == [2, 2, 6, 6, 6, 6, 6, 6, 0]


def snapshot(overlays: Path) -> dict[Path, list[str]]:
    """The lines of all overlays."""
    return {path: path.read_text().splitlines() for path in overlays.rglob("*.yaml")}


def test_a_shadow_is_one_line(tmp_path: Path) -> None:
    """With the line of the page, calls without the header are mirrored to the candidate, and nothing else changes."""
    file = copied(tmp_path) / "overlays" / CANARY / "kustomization.yaml"
    before = render(file.parent)
    line = "- ../../components/shadow"
    assert f"`{line}`" in (KUSTOMIZE.parent / PAGE).read_text()
    file.write_text(file.read_text().replace("components/canary\n", f"components/canary\n  {line}\n"))
    objects = render(file.parent)
    (mirror,) = rules(objects)[None].pop("filters")
    assert mirror["type"] == "RequestMirror"
    assert reached(objects, mirror["requestMirror"]["backendRef"]) == CANDIDATE
    assert objects == before


def test_a_namespace_is_set_in_both_overlays(tmp_path: Path) -> None:
    """With production's namespace, and a prefix, the canary's namespace reaches all, and the route its Services."""
    overlays = copied(tmp_path) / "overlays"
    for name, line in (("production", "namespace: ml\nnamePrefix: blue-\n"), (CANARY, "namespace: ml\n")):
        with (overlays / name / "kustomization.yaml").open("a") as file:
            file.write(line)
    objects = render(overlays / CANARY)
    assert {found["metadata"].get("namespace") for found in objects} == {"ml"}
    backends = rules(objects)[None]["backendRefs"]
    assert [reached(objects, backend) for backend in backends] == [STABLE, CANDIDATE]


def test_canary_and_shadow_go_in_both_orders(tmp_path: Path) -> None:
    """Their order does not matter."""
    rendered = []
    for number, order in enumerate(itertools.permutations(("canary", "shadow"))):
        file = copied(tmp_path / str(number)) / "overlays" / CANARY / "kustomization.yaml"
        listed = "".join(f"  - ../../components/{name}\n" for name in order)
        file.write_text(file.read_text().replace("  - ../../components/canary\n", listed))
        rendered.append(unordered(render(file.parent)))
    assert rendered[0] == rendered[1]
    assert "RequestMirror" in yaml.safe_dump(rendered[0])
