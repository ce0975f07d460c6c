"""A candidate beside an environment: production-canary, the steps of its page, and the components it is made of."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from .canary import PAGE, change, steps
from .manifests import (
    CANARY,
    COMPONENTS,
    KUSTOMIZE,
    SUPPORTED,
    Objects,
    composed,
    images,
    included,
    of_instance,
    only,
    pod,
    pods,
    render,
    settings,
    validate,
)
from .test_composition import check, unordered
from .test_environments import INSTANCE, allowed, matches, selectors
from .test_manifests import changed, copied
from .test_references import references

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

STABLE, CANDIDATE = "production", "production-candidate"
WEIGHTS = """configMapGenerator:
  - name: canary
    options: {annotations: {config.kubernetes.io/local-config: "true"}}
    literals: [weights=95/5]
"""


@pytest.fixture(scope="module")
def objects() -> Objects:
    """What the overlay renders to."""
    return render(KUSTOMIZE / "overlays" / CANARY)


def canary_of(tmp_path: Path, *components: str, on: str = "base", inner: str = "", outer: str = "") -> Objects:
    """An environment of these components and a Gateway, its candidate, and what `outer` adds on top of both."""
    for name in ("blue", "candidate", "canary"):
        (tmp_path / name).mkdir()
    composed(tmp_path / "blue", *components, on=on, more=inner)
    composed(tmp_path / "candidate", "candidate")
    for name, resources, more in (
        ("candidate", "[../blue]", 'images: [{name: doc2vec-model, newTag: "1.1.0"}]\n'),
        ("canary", "[../blue, ../candidate]", WEIGHTS + outer),
    ):
        of_two = ["candidate"] if name == "candidate" else ["shadow", "canary"]
        file = composed(tmp_path / name, *of_two) / "kustomization.yaml"
        _, rest = file.read_text().split("components:")
        file.write_text(f"resources: {resources}\ncomponents:{rest}{more}")
    return render(tmp_path / "canary")


def rules(objects: Objects) -> dict[str | None, dict[str, Any]]:
    """The route's rules by the value of the header that they match; None for all other calls."""
    found: dict[str | None, dict[str, Any]] = {}
    for rule in only(objects, "GRPCRoute")["spec"]["rules"]:
        value = None
        for match in rule.get("matches", []):
            (header,) = match["headers"]
            assert header["name"] == "paravec-candidate"
            value = header["value"]
        found[value] = rule
    return found


def weights(objects: Objects) -> dict[str, int]:
    """Of the calls without the header, the share of each environment, by the label of the pods that they reach."""
    return {reached(objects, one): one["weight"] for one in rules(objects)[None]["backendRefs"]}


def reached(objects: Objects, backend: dict[str, Any]) -> str:
    """The label of the pods behind a backend."""
    (service,) = (o for o in objects if (o["kind"], o["metadata"]["name"]) == ("Service", backend["name"]))
    assert "clusterIP" not in service["spec"]
    assert backend["port"] in [port["port"] for port in service["spec"]["ports"]]
    selector = {"matchLabels": service["spec"]["selector"]}
    (labels,) = (p["metadata"]["labels"] for p in pods(objects) if matches(selector, p["metadata"]["labels"]))
    label: str = labels[INSTANCE]
    return label


def test_all_is_valid(objects: Objects) -> None:
    """Each object of both is valid for the oldest and the newest Kubernetes."""
    for version in (SUPPORTED[0], SUPPORTED[-1]):
        validate(objects, version)
    check(objects)


def test_production_stays_as_it_is(objects: Objects) -> None:
    """The canary renders each object of production unchanged, so its pods go on."""
    assert missing(render(KUSTOMIZE / "overlays/production"), objects) == []


def missing(one: Objects, other: Objects) -> list[tuple[str, str]]:
    """Kind and name of the objects that are not in another rendering as they are."""
    return [(found["kind"], found["metadata"]["name"]) for found in one if found not in other]


def test_the_candidate_is_production_with_other_names(objects: Objects) -> None:
    """Settings and pods are production's, but for names and labels; what must exist once does."""
    stable, candidate = of_instance(objects, STABLE), of_instance(objects, CANDIDATE)
    assert settings(candidate) == settings(stable)
    specs = yaml.safe_dump([pod(stable), pod(candidate)]).replace(CANDIDATE, STABLE).replace("-candidate", "")
    assert yaml.safe_load(specs)[0] == yaml.safe_load(specs)[1]
    assert only(candidate, "Deployment")["spec"]["replicas"] == 2
    kinds = {found["kind"] for found in candidate}
    assert kinds == {"ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"}
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
            assert len(lines) == 1, lines
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


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("on", ["base", "overlays/production"])
def test_an_environment_of_any_component_has_a_candidate(on: str, component: str, tmp_path: Path) -> None:
    """With names changed in it and on top of both, all is valid, references hold, and selectors do not overlap."""
    added = {"gateway", component} - included(on)
    inner = "namePrefix: blue-\nnameSuffix: -two\nnamespace: ml\n"
    objects = canary_of(tmp_path, *sorted(added), on=on, inner=inner, outer="namePrefix: it-\n")
    check(objects)
    names = [(found["kind"], found["metadata"]["name"]) for found in objects]
    assert len(names) == len(set(names))
    assert all(name.startswith("it-blue-") for _, name in names)
    assert {found["metadata"]["namespace"] for found in objects} == {"ml"}
    assert set(references(objects)) <= set(names)
    servers = [one for one in pods(objects) if one["metadata"]["labels"]["app.kubernetes.io/name"] == "paravec-server"]
    labels = [one["metadata"]["labels"][INSTANCE] for one in servers]
    assert len(set(labels)) == len(servers) == 2
    assert labels[1] == "it-blue-paravec-server-two-candidate"
    assert weights(objects) == dict(zip(labels, (95, 5), strict=True))
    for kind in ("GRPCRoute", "HorizontalPodAutoscaler", "Ingress", "PrometheusRule", "ScaledObject"):
        assert sum(found["kind"] == kind for found in objects) <= 1
    for found in objects:
        for selector in (one for one in selectors(found) if "matchLabels" in one):
            assert any(matches(selector, one["metadata"]["labels"]) for one in pods(objects))
            assert sum(matches(selector, one["metadata"]["labels"]) for one in servers) <= 1


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("on", ["base", "overlays/production"])
@pytest.mark.parametrize("inner", ["", "namePrefix: blue-\nnamespace: ml\n"])
def test_an_environment_stays_as_it_is_beside_its_candidate(
    on: str, component: str, inner: str, tmp_path: Path
) -> None:
    """Of the environment only the route changes, and no reference leads from one to the other."""
    added = {"gateway", component} - included(on)
    objects = canary_of(tmp_path, *sorted(added), on=on, inner=inner)
    blue = render(tmp_path / "blue")
    assert [kind for kind, _ in missing(blue, objects)] == ["GRPCRoute"]
    names = {(found["kind"], found["metadata"]["name"]) for found in blue}
    candidate = [found for found in objects if (found["kind"], found["metadata"]["name"]) not in names]
    assert set(references(candidate)) <= {(found["kind"], found["metadata"]["name"]) for found in candidate}


def test_a_suffix_on_top_is_refused(tmp_path: Path) -> None:
    """Kustomize cannot tell the two apart then, and says so."""
    with pytest.raises(AssertionError, match="multiple possible referrals"):
        canary_of(tmp_path, "gateway", outer="nameSuffix: -two\n")


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (("gateway", "canary"), "ConfigMap.*candidate"),
        (("gateway", "shadow"), "ConfigMap.*candidate"),
        (("candidate",), None),
    ],
)
def test_a_part_alone_is_an_error(listed: tuple[str, ...], message: str | None, tmp_path: Path) -> None:
    """Without a candidate, canary and shadow do not render; the error names it. A candidate alone is an environment."""
    if message is None:
        validate(render(composed(tmp_path, *listed)), SUPPORTED[-1])
        return
    with pytest.raises(AssertionError, match=message):
        render(composed(tmp_path, *listed, more=WEIGHTS))
