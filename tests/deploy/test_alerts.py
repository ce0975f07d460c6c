"""Each alert fires for its own condition and environment, and for nothing else, as promtool evaluates it."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..pages import ROOT
from .manifests import KUSTOMIZE, Objects, composed, only, render
from .promtool import needed, promtool
from .test_environments import LABELLED, matches

TABLE = yaml.safe_load((Path(__file__).parent / "alerts.yaml").read_text())
RULES = yaml.safe_load((KUSTOMIZE / "alerts/rules.yaml").read_text())["spec"]
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule}

ENVIRONMENT = ("job", "namespace", "app_kubernetes_io_instance")

Series = Mapping[str, str]


@dataclass(frozen=True)
class Environment:
    """Where Prometheus finds the pods of an environment."""

    scrape: Mapping[str, str]
    """The labels that all its targets have."""
    namespace: str
    deployment: str

    def labels(self, scope: str) -> dict[str, str]:
        """The labels of an alert for the environment, its Deployment, its CronJob, or a pod with this name."""
        if scope == "environment":
            return {name: value for name, value in self.scrape.items() if name in ENVIRONMENT}
        if scope == "deployment":
            return {"namespace": self.namespace, "deployment": self.deployment}
        if scope == "cronjob":
            return {"namespace": self.namespace, "cronjob": self.deployment.replace("paravec-server", "prune-models")}
        return {**self.scrape, "instance": f"{self.namespace}/{self.deployment}-{scope}:9464"}

    def series(self, figures: Series) -> dict[str, str]:
        """These figures as Prometheus stores them."""
        found = {}
        for key, values in figures.items():
            name, *own = re.findall(r'\w+(?:="[^"]*")?', key)
            given = {label: value.strip('"') for label, value in (pair.split("=", 1) for pair in own)}
            scope = name.split("_")[1] if name.startswith("kube_") else given.pop("instance", "a")
            found[series(name, given | self.labels(scope))] = values
        return found


def series(name: str, labels: Mapping[str, str]) -> str:
    """A series in Prometheus' notation."""
    return name + "{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}"


def busier(figures: Series) -> dict[str, str]:
    """The figures of an environment with a hundred times the calls, and with another model."""
    return {
        key.replace('digest="1"', 'digest="9"'): re.sub(r"\+(\d+)x", lambda match: f"+{match[1]}00x", values)
        for key, values in figures.items()
    }


def scraped(objects: Objects) -> Environment:
    """The labels by which the Prometheus operator stores the metrics of a rendered environment."""
    monitor, deployment = only(objects, "PodMonitor"), only(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert matches(monitor["spec"]["selector"], labels)
    space = monitor["metadata"]["namespace"]
    targets = {re.sub(r"\W", "_", name): labels[name] for name in monitor["spec"]["podTargetLabels"]}
    scrape = {"job": f"{space}/{monitor['metadata']['name']}", "namespace": space} | targets
    return Environment(scrape, space, deployment["metadata"]["name"])


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[Objects]:
    """Three environments with a PodMonitor each: two in one namespace, and one of the same name in another."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    return [
        render(composed(tmp_path_factory.mktemp(name), "monitoring-operator", more=more, on="overlays/production"))
        for name, space in (("blue", "ml"), ("green", "ml"), ("blue", "lab"))
        for more in [LABELLED.format(name) + f"namespace: {space}\nnamePrefix: {name}-\n"]
    ]


@pytest.fixture(scope="module")
def pairs(rendered: list[Objects]) -> dict[str, list[Environment]]:
    """Two environments each, by what tells them apart."""
    first, neighbour, namesake = map(scraped, rendered)
    one = [("ml", "blue-paravec-server"), ("ml", "green-paravec-server")]
    two = [("ml", "paravec-server"), ("lab", "paravec-server")]
    pods = {"job": "kubernetes-pods"}
    return {
        "the operator, in one namespace": [first, neighbour],
        "the operator, in two namespaces": [first, namesake],
        "the instance": [
            Environment(pods | {"namespace": "ml", "app_kubernetes_io_instance": where[1]}, *where) for where in one
        ],
        "the namespace": [Environment(pods | {"namespace": where[0]}, *where) for where in two],
        "the job": [Environment({"job": where[1]}, *where) for where in one],
    }


def evaluate(folder: Path, tests: list[dict[str, Any]], minutes: int, interval: int = 1) -> None:
    """Let promtool evaluate the rules until that time; each test has a name, series and the alerts that fire then."""
    step, samples = f"{interval}m", str(minutes // interval)
    made = [
        {
            "name": test["name"],
            "interval": step,
            "input_series": [
                {"series": name, "values": values.replace("N", samples)} for name, values in test["series"].items()
            ],
            "promql_expr_test": [
                {
                    "expr": 'ALERTS{alertstate="firing"}',
                    "eval_time": f"{minutes}m",
                    "exp_samples": [
                        {"labels": series("ALERTS", {"alertstate": "firing", **labels}), "value": 1}
                        for labels in test["fires"]
                    ],
                }
            ],
        }
        for test in tests
    ]
    tests_file = {"rule_files": ["rules.yaml"], "evaluation_interval": step, "tests": made}
    promtool(folder, "test", "rules", "tests.yaml", rules=RULES, tests=tests_file)


@needed
@pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: case["name"])
def test_an_alert_fires_for_its_own_condition_and_environment(
    case: dict[str, Any], pairs: dict[str, list[Environment]], tmp_path: Path
) -> None:
    """With one condition in one of two environments, only its alert fires, whatever labels tell them apart."""
    healthy = TABLE["healthy"]
    figures = case["only"] if "only" in case else healthy | case.get("series", {})
    tests = [
        {
            "name": f"{case['name']}, told apart by {name}",
            "series": mine.series(figures) | other.series(busier(healthy)),
            "fires": [
                {"alertname": alert, **ALERTS[alert]["labels"], **mine.labels(scope)}
                for alert, scope in case.get("fires", {}).items()
            ],
        }
        for name, (mine, other) in pairs.items()
    ]
    evaluate(tmp_path, tests, case.get("minutes", 120), case.get("interval", 1))


@needed
@pytest.mark.parametrize("case", TABLE["scrapes"], ids=lambda case: case["name"])
def test_alerts_are_right_for_what_prometheus_has(case: dict[str, Any], tmp_path: Path) -> None:
    """With these series, of whatever scrape, exactly these alerts fire."""
    evaluate(tmp_path, [case], 50)


def test_each_alert_is_tested_both_ways() -> None:
    """Each alert has a condition that it fires for, and one that comes close."""
    assert {alert for case in TABLE["cases"] for alert in case.get("fires", {})} == ALERTS.keys()
    near = [(case, alert) for case in TABLE["cases"] for alert in case.get("near", [])]
    assert {alert for _, alert in near} == ALERTS.keys()
    assert not [alert for case, alert in near if alert in case.get("fires", {})]


def test_alerts_say_what_is_wrong() -> None:
    """Each has a severity, a summary, a description by labels that it has, and a row in the documentation."""
    page = (ROOT / "docs/how-to/monitor-a-server.md").read_text()
    documented = re.findall(r"^\| `(Paravec\w+)` \| (\w+) \|", page, re.MULTILINE)
    assert documented == [(name, alert["labels"]["severity"]) for name, alert in ALERTS.items()]
    scopes = {alert: scope for case in TABLE["cases"] for alert, scope in case.get("fires", {}).items()}
    for name, alert in ALERTS.items():
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert alert["annotations"].keys() == {"summary", "description"}
        assert all(text.endswith(".") for text in alert["annotations"].values())
        had = {"environment": {*ENVIRONMENT}} | {kind: {"namespace", kind} for kind in ("deployment", "cronjob")}
        used = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["description"]))
        assert used
        assert used <= had.get(scopes[name], {*ENVIRONMENT, "instance", "pod"})


@needed
@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"job": "j", "namespace": "ml", "app_kubernetes_io_instance": "blue"}, "blue in namespace ml"),
        ({"job": "j"}, "j in namespace unknown"),
    ],
)
def test_a_description_names_the_environment(labels: dict[str, str], said: str, tmp_path: Path) -> None:
    """A description names instance and namespace, or the job where a scrape does not set the labels."""
    failed = series("paravec_calls_total", {**labels, "code": "INTERNAL", "method": "Embed"})
    annotations = ALERTS["ParavecErrors"]["annotations"] | {"description": f"100% of the calls of {said} fail."}
    expected = {"exp_labels": {**labels, "severity": "warning"}, "exp_annotations": annotations}
    test = {
        "interval": "1m",
        "input_series": [{"series": failed, "values": "0+9x60"}],
        "alert_rule_test": [{"alertname": "ParavecErrors", "eval_time": "50m", "exp_alerts": [expected]}],
    }
    promtool(
        tmp_path, "test", "rules", "tests.yaml", rules=RULES, tests={"rule_files": ["rules.yaml"], "tests": [test]}
    )


def test_environments_share_one_set_of_alerts(rendered: list[Objects]) -> None:
    """No environment brings rules of its own, which would double every alert; one object has them all."""
    assert not [found for objects in rendered for found in objects if found["kind"] == "PrometheusRule"]
    (found,) = render(KUSTOMIZE / "alerts")
    assert (found["apiVersion"], found["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    (group,) = found["spec"]["groups"]
    assert group == RULES["groups"][0]
    for rule in group["rules"]:
        assert rule.keys() - {"for"} in ({"alert", "expr", "labels", "annotations"}, {"record", "expr"})
