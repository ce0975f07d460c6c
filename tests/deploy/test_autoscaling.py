"""The autoscalers: what they ask, of which pods, and what they make of the answers."""

import math
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from paravec_model.artifact import Artifact

from ..scrapes import Scrape, address_of
from ..servers import running
from .manifests import KUSTOMIZE, Objects, autoscalers, composed, only, pod, render, settings

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not installed"
)

(RULE,) = yaml.safe_load((KUSTOMIZE / "components/autoscaling-adapter/rules.yaml").read_text())["rules"]["custom"]
MATCHERS = '{namespace="ml",pod=~"paravec-server-1-a|paravec-server-1-b"}'


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Objects]:
    """Each component on the base."""
    names = ("autoscaling", "autoscaling-adapter", "autoscaling-keda")
    return {name: render(composed(tmp_path_factory.mktemp("scaled"), name)) for name in names}


def cores(quantity: str) -> float:
    """A quantity of CPU."""
    return float(quantity.removesuffix("m")) / 1000 if quantity.endswith("m") else float(quantity)


def cpu_target(objects: Objects) -> float:
    """The cores of a pod beyond which pods are added."""
    (found,) = autoscalers(objects)
    if found["kind"] == "ScaledObject":
        (trigger,) = (one for one in found["spec"]["triggers"] if one["type"] == "cpu")
        assert trigger["metricType"] == "AverageValue"
        return cores(trigger["metadata"]["value"])
    (metric,) = (one["resource"] for one in found["spec"]["metrics"] if one["type"] == "Resource")
    assert (metric["name"], metric["target"]["type"]) == ("cpu", "AverageValue")
    return cores(metric["target"]["averageValue"])


def prometheus(objects: Objects) -> dict[str, Any]:
    """KEDA's trigger that asks Prometheus."""
    (found,) = (one for one in only(objects, "ScaledObject")["spec"]["triggers"] if one["type"] == "prometheus")
    assert found["metricType"] == "AverageValue"
    return dict(found["metadata"])


@pytest.mark.parametrize("name", ["autoscaling", "autoscaling-adapter", "autoscaling-keda"])
def test_as_many_pods_come_as_the_load_needs(name: str, rendered: Mapping[str, Objects]) -> None:
    """The CPU of three pods that use 65 % of their limit keeps three, and at their limit five come."""
    (server,) = pod(rendered[name])["containers"]
    limit, target = cores(server["resources"]["limits"]["cpu"]), cpu_target(rendered[name])
    assert target / limit == pytest.approx(0.7)
    assert math.ceil(3 * 0.65 * limit / target) == 3
    assert math.ceil(3 * limit / target) == 5


@pytest.mark.parametrize("name", ["autoscaling", "autoscaling-adapter", "autoscaling-keda"])
def test_a_pod_can_reach_the_target(name: str, rendered: Mapping[str, Objects]) -> None:
    """Each core of the limit has a worker, since one of them uses one core at most, and they share the connections."""
    (server,) = pod(rendered[name])["containers"]
    limit, found = cores(server["resources"]["limits"]["cpu"]), settings(rendered[name])
    assert found["PARAVEC_WORKERS"] == "0"
    assert cpu_target(rendered[name]) < limit
    plain = settings(render(KUSTOMIZE / "base"))
    assert limit * int(found["PARAVEC_MAX_CONNECTIONS"]) == int(plain["PARAVEC_MAX_CONNECTIONS"])


@pytest.mark.parametrize("name", ["autoscaling", "autoscaling-adapter", "autoscaling-keda"])
def test_pods_go_later_than_their_load_is_shared_out(name: str, rendered: Mapping[str, Objects]) -> None:
    """Before a pod goes, each connection was renewed twice; then one goes a minute, longer than a drain takes."""
    (found,) = autoscalers(rendered[name])
    spec = found["spec"]
    spec = spec["advanced"]["horizontalPodAutoscalerConfig"] if found["kind"] == "ScaledObject" else spec
    down = spec["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] > 2 * float(settings(rendered[name])["PARAVEC_MAX_CONNECTION_AGE"])
    (policy,) = down["policies"]
    assert (policy["type"], policy["value"]) == ("Pods", 1)
    assert policy["periodSeconds"] > pod(rendered[name])["terminationGracePeriodSeconds"]
    assert "scaleUp" not in spec["behavior"]


def test_all_autoscalers_have_the_same_bounds(rendered: Mapping[str, Objects]) -> None:
    """Whichever of them a cluster has, pods come and go in the same way."""
    plain, adapter = (
        only(rendered[name], "HorizontalPodAutoscaler") for name in ("autoscaling", "autoscaling-adapter")
    )
    keda = only(rendered["autoscaling-keda"], "ScaledObject")["spec"]
    assert adapter["spec"] == plain["spec"] | {"metrics": adapter["spec"]["metrics"]}
    assert adapter["spec"]["metrics"][:-1] == plain["spec"]["metrics"]
    assert (keda["minReplicaCount"], keda["maxReplicaCount"]) == (3, 10)
    assert (plain["spec"]["minReplicas"], plain["spec"]["maxReplicas"]) == (3, 10)
    assert keda["advanced"]["horizontalPodAutoscalerConfig"] == {
        "name": plain["metadata"]["name"],  # KEDA takes over the one that is in the cluster
        "behavior": plain["spec"]["behavior"],
    }


def test_adapter_and_keda_ask_the_same(rendered: Mapping[str, Objects]) -> None:
    """Both ask how full the pods are, and double the pods that are full."""
    *_, metric = only(rendered["autoscaling-adapter"], "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == RULE["name"]["as"]
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "500m"}
    trigger = prometheus(rendered["autoscaling-keda"])
    assert float(trigger["threshold"]) == 0.5
    assert trigger["ignoreNullValues"] == "false"
    own = RULE["metricsQuery"].replace("<<.GroupBy>>", "namespace, pod").replace("{<<.LabelMatchers>>}", "")
    assert "".join(own.replace('"', "'").split()) in "".join(trigger["query"].split())


def test_queries_name_metrics_of_a_real_server(rendered: Mapping[str, Objects], artifact: Artifact) -> None:
    """Each metric that is asked for is exported, and each bound of what is in flight is asked for."""
    with running(artifact.path, "--operations-listen", "127.0.0.1:0") as server:
        known = {name for name, _ in Scrape(address_of(server)).samples}
    limits = {name for name in known if name.endswith("_limit")}
    for query in (RULE["metricsQuery"], prometheus(rendered["autoscaling-keda"])["query"]):
        asked = set(re.findall(r"\bparavec_\w+", query))
        assert asked <= known
        assert {name for name in asked if name.endswith("_limit")} == limits
    assert re.match(r"\w+", RULE["seriesQuery"])[0] in limits  # type: ignore[index]


def named(tmp_path: Path, inner: str) -> Objects:
    """KEDA's component on top of an environment with a namespace and a name of its own."""
    (tmp_path / "inner").mkdir(parents=True)
    composed(tmp_path / "inner", more=inner, on="overlays/production")
    here = (KUSTOMIZE / "components/autoscaling-keda").resolve()
    where = Path("../" * len(tmp_path.resolve().parts[1:])) / here.relative_to("/")
    (tmp_path / "kustomization.yaml").write_text(f"resources: [inner]\ncomponents: [{where}]\n")
    return render(tmp_path)


def test_keda_asks_for_pods_of_its_own_environment(tmp_path: Path) -> None:
    """Name, namespace, target and query are those of its environment, and the query takes no other's pods."""
    names = {
        "plain": "",
        "it": "namePrefix: it-\n",
        "two": "nameSuffix: -two\n",
        "both": "namePrefix: it-\nnameSuffix: -two\n",
    }
    pods = {
        "plain": "paravec-server-5d4f8c7b9-x2x7k", "it": "it-paravec-server-5d4f8c7b9-x2x7k",
        "two": "paravec-server-two-5d4f8c7b9-x2x7k", "both": "it-paravec-server-two-5d4f8c7b9-x2x7k",
    }  # fmt: skip
    for name, inner in names.items():
        objects = named(tmp_path / name, f"namespace: {name}\n{inner}")
        deployment, scaled = only(objects, "Deployment"), only(objects, "ScaledObject")
        for key in ("name", "namespace"):
            assert scaled["metadata"][key] == deployment["metadata"][key]
        assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        query = prometheus(objects)["query"]
        ((namespace, pattern),) = re.findall(r'\{namespace="([^"]*)",pod=~"([^"]*)"\}', query)
        assert namespace == name
        assert [other for other, pod in pods.items() if re.fullmatch(pattern, pod)] == [name]


def test_keda_without_a_namespace_is_refused(tmp_path: Path) -> None:
    """It would ask for the pods of all namespaces; the error says what is missing."""
    where = KUSTOMIZE.resolve() / "components/autoscaling-keda"
    composed(tmp_path, more=f"components: [{'../' * len(tmp_path.resolve().parts[1:])}{where.relative_to('/')}]\n")
    with pytest.raises(AssertionError, match=r"metadata\.namespace"):
        render(tmp_path)


SERIES: dict[str, dict[str, float]] = {
    # Half of its streams, and little of the rest.
    "paravec-server-1-a": {
        "calls_in_flight": 128,
        "streams_in_flight": 128,
        "work_in_flight_seconds": 0.02,
        "message_bytes_in_flight": 1,
    },
    # A tenth of its calls, and more work than its limit.
    "paravec-server-1-b": {
        "calls_in_flight": 409.6,
        "streams_in_flight": 0,
        "work_in_flight_seconds": 2.2,
        "message_bytes_in_flight": 1,
    },
    # Of another environment.
    "blue-paravec-server-1-a": {
        "calls_in_flight": 4096,
        "streams_in_flight": 1,
        "work_in_flight_seconds": 2,
        "message_bytes_in_flight": 1,
    },
}
LIMITS: dict[str, float] = {
    "calls_in_flight": 4096,
    "streams_in_flight": 256,
    "work_in_flight_seconds": 2,
    "message_bytes_in_flight": 1000,
}


@promtool
def test_a_pod_is_as_full_as_its_fullest_limit(tmp_path: Path, rendered: Mapping[str, Objects]) -> None:
    """promtool evaluates both queries: pods of this environment only, each by the largest of its four shares."""
    series = [
        {
            "series": f'paravec_{name}{suffix}{{namespace="ml",pod="{pod}",instance="{pod}:9464"}}',
            "values": f"{value}x10",
        }
        for pod, values in SERIES.items()
        for name in values
        for suffix, value in (("", values[name]), ("_limit", LIMITS[name]))
    ]
    adapter = RULE["metricsQuery"].replace("<<.GroupBy>>", "pod").replace("{<<.LabelMatchers>>}", MATCHERS)
    expected: list[dict[str, Any]] = [
        {"expr": prometheus(rendered["autoscaling-keda"])["query"], "exp_samples": [{"labels": "{}", "value": 1.6}]},
        {
            "expr": adapter,
            "exp_samples": [
                {"labels": '{pod="paravec-server-1-a"}', "value": 0.5},
                {"labels": '{pod="paravec-server-1-b"}', "value": 1.1},
            ],
        },
    ]
    test = {
        "interval": "30s",
        "input_series": series,
        "promql_expr_test": [{"eval_time": "3m", **one} for one in expected],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
