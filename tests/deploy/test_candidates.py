"""A candidate beside any environment: components candidate, canary and shadow."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from .manifests import COMPONENTS, NEEDS, SUPPORTED, Objects, added, composed, included, only, pods, render, validate
from .test_composition import check
from .test_environments import INSTANCE, matches, selectors
from .test_references import references

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

WEIGHTS = """configMapGenerator:
  - name: canary
    options: {annotations: {config.kubernetes.io/local-config: "true"}}
    literals: [weights=95/5]
"""


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


def missing(one: Objects, other: Objects) -> list[tuple[str, str]]:
    """Kind and name of the objects that are not in another rendering as they are."""
    return [(found["kind"], found["metadata"]["name"]) for found in one if found not in other]


def ordered(names: set[str]) -> list[str]:
    """Components in an order that works: what needs another one comes last."""
    return sorted(names, key=lambda name: (name in NEEDS, name))


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("on", ["base", pytest.param("overlays/production", marks=pytest.mark.slow)])
def test_an_environment_of_any_component_has_a_candidate(on: str, component: str, tmp_path: Path) -> None:
    """With names changed in it and on top of both, all is valid, references hold, and selectors do not overlap."""
    more = {"gateway", *added(component, on)} - included(on)
    inner = "namePrefix: blue-\nnameSuffix: -two\nnamespace: ml\n"
    objects = canary_of(tmp_path, *ordered(more), on=on, inner=inner, outer="namePrefix: it-\n")
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
@pytest.mark.parametrize("on", ["base", pytest.param("overlays/production", marks=pytest.mark.slow)])
@pytest.mark.parametrize("inner", ["", "namePrefix: blue-\nnamespace: ml\n"])
def test_an_environment_stays_as_it_is_beside_its_candidate(
    on: str, component: str, inner: str, tmp_path: Path
) -> None:
    """Of the environment only the route changes, and no reference leads from one to the other."""
    more = {"gateway", *added(component, on)} - included(on)
    objects = canary_of(tmp_path, *ordered(more), on=on, inner=inner)
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
