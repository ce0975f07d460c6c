"""Several environments in one namespace: each selects its own pods."""

import itertools
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from .manifests import (
    CANARY,
    COMPONENTS,
    KUSTOMIZE,
    NEEDS,
    OVERLAYS,
    Objects,
    added,
    composed,
    included,
    of_instance,
    only,
    pods,
    render,
)

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

Labels = Mapping[str, str]

INSTANCE = "app.kubernetes.io/instance"
LABELLED = "labels: [{{pairs: {{app.kubernetes.io/instance: {0}}}, includeSelectors: true}}]\n"
ENVIRONMENTS = [*OVERLAYS, "blue", "made", "bare"]
CHOICES = [name for name in COMPONENTS if not name.startswith(("volume-", "autoscaling-"))]


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Objects]:
    """In one namespace, with all components: overlays, one of them again, the base with a label and without."""
    named = {name: (f"overlays/{name}", "") for name in OVERLAYS}
    named |= {
        "blue": ("overlays/production", LABELLED.format("blue")),
        "made": ("base", LABELLED.format("made")),
        "bare": ("base", ""),
    }
    found = {}
    for name, (on, more) in named.items():
        rest = [name for name in CHOICES if name not in included(on) and NEEDS.get(name, name) in {name, *included(on)}]
        more += f"namespace: ml\nnamePrefix: {name}-\n"
        found[name] = render(composed(tmp_path_factory.mktemp(name), *rest, more=more, on=on))
    return found


def selectors(value: Any) -> Iterator[Mapping[str, Any]]:
    """All selectors of pods in an object, with `matchLabels` also where an API has the labels alone."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("selector", "podSelector", "labelSelector"):
                bare = not inner.keys() & {"matchLabels", "matchExpressions"}
                yield {"matchLabels": inner} if bare else inner
            yield from selectors(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from selectors(inner)


def matches(selector: Mapping[str, Any], labels: Labels) -> bool:
    """Whether a selector takes a pod with these labels, as Kubernetes defines it."""
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] in ("In", "NotIn")
        if (labels.get(rule["key"]) in rule["values"]) != (rule["operator"] == "In"):
            return False
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def pod_labels(objects: Objects) -> dict[str, Labels]:
    """The labels of the pods, by the pod's name in them."""
    found = [template["metadata"]["labels"] for template in pods(objects)]
    return {labels["app.kubernetes.io/name"]: labels for labels in found}


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(ENVIRONMENTS, 2)))
def test_no_selector_takes_a_pod_of_another_environment(one: str, other: str, environments: dict[str, Objects]) -> None:
    """No Service, Deployment, budget, policy, monitor or spread takes the pods of another in the same namespace."""
    taken = [
        (found["kind"], found["metadata"]["name"], selector)
        for found in environments[one]
        for selector in selectors(found)
        for labels in pod_labels(environments[other]).values()
        if matches(selector, labels)
    ]
    assert taken == []


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_each_selector_takes_pods_of_its_own_environment(name: str, environments: dict[str, Objects]) -> None:
    """Each selector by label takes a pod of its environment, and each kind that has one is there."""
    labels, kinds = pod_labels(environments[name]).values(), set()
    for found in environments[name]:
        for selector in selectors(found):
            kinds.add(found["kind"])
            if "matchLabels" in selector:
                assert any(matches(selector, pod) for pod in labels), (found["kind"], selector)
    assert kinds == {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "Service"}
    # Without a label of its own, an environment is called as its Deployment.
    assert {pod[INSTANCE] for pod in labels} == {"bare-paravec-server" if name == "bare" else name}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_all_objects_of_an_environment_have_its_label(name: str, environments: dict[str, Objects]) -> None:
    """`kubectl get -l app.kubernetes.io/instance=...` lists what components add too, on the base and on an overlay."""
    objects = environments[name]
    assert of_instance(objects, "bare-paravec-server" if name == "bare" else name) == objects


@pytest.mark.parametrize("component", [name for name in COMPONENTS if name not in CHOICES])
@pytest.mark.parametrize(("on", "instance"), [("base", "blue-paravec-server"), ("overlays/production", "production")])
def test_what_takes_the_place_of_another_has_the_label_too(
    component: str, on: str, instance: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Volumes and autoscalers."""
    path = composed(tmp_path_factory.mktemp("one"), *added(component, on), more="namePrefix: blue-\n", on=on)
    objects = render(path)
    assert of_instance(objects, instance) == objects


def test_of_two_environments_each_object_has_the_label_of_one() -> None:
    """Also what a candidate has beside the environment."""
    objects = render(KUSTOMIZE / "overlays" / CANARY)
    assert len(objects) == sum(len(of_instance(objects, name)) for name in ("production", "production-candidate"))


def test_the_base_alone_has_an_instance() -> None:
    """The base selects by an instance too, which an overlay replaces."""
    selector = only(render(KUSTOMIZE / "base"), "Deployment")["spec"]["selector"]["matchLabels"]
    assert selector == {"app.kubernetes.io/name": "paravec-server", INSTANCE: "paravec-server"}


def allowed(objects: Objects, source: Labels, target: Labels, port: str | int) -> bool:
    """Whether network policies let a pod call another one of its namespace."""
    policies = [found["spec"] for found in objects if found["kind"] == "NetworkPolicy"]
    for way, peer, (end, far) in (("egress", "to", (source, target)), ("ingress", "from", (target, source))):
        binding = [policy for policy in policies if matches(policy["podSelector"], end)]
        rules = [rule for policy in binding for rule in policy[way]]
        open_rules = [rule for rule in rules if port in [one["port"] for one in rule["ports"]]]
        peers = [one for rule in open_rules for one in rule.get(peer, [{"podSelector": {}}])]
        if binding and not any(matches(one["podSelector"], far) for one in peers if "podSelector" in one):
            return False
    return True


@pytest.mark.parametrize("components", [("faq-engine",), ("faq-engine", "network-policy")])
def test_the_example_may_call_the_server_and_dns_only(
    components: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With and without the server's policy the page reaches the server and DNS and nothing else, and is reached."""
    one, other = (
        render(composed(tmp_path_factory.mktemp(name), *components, more=LABELLED.format(name), on="base"))
        for name in ("one", "other")
    )
    page, server, both = pod_labels(one)["faq-engine"], pod_labels(one)["paravec-server"], one + other
    stranger = {"app.kubernetes.io/name": "shop", INSTANCE: "one"}
    assert allowed(both, page, server, "grpc")
    assert allowed(both, page, stranger, 53)
    assert allowed(both, stranger, page, "http")
    assert allowed(both, stranger, server, "grpc")
    assert not allowed(both, page, server, "operations")
    assert not allowed(both, page, stranger, "http")
    assert not allowed(both, page, pod_labels(other)["paravec-server"], "grpc")
    assert not allowed(both, pod_labels(other)["faq-engine"], page, "http")
