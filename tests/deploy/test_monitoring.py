"""The dashboard and the alerts use metrics that a real server exposes, and promtool accepts them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from paravec_model.artifact import Artifact
from paravec_server.telemetry.counters import CODES, REASONS

from ..scrapes import Scrape, address_of
from ..servers import running
from .manifests import INSTALLED, KUSTOMIZE, OVERLAYS, Objects, only, ports, render, settings

COMPONENTS = KUSTOMIZE / "components"
DASHBOARD = json.loads((COMPONENTS / "monitoring/paravec.json").read_text())
RULES = yaml.safe_load((COMPONENTS / "monitoring-operator/rules.yaml").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
ALERTS = [rule for group in RULES["spec"]["groups"] for rule in group["rules"]]

SCRAPERS = {"job", "instance"}
"""Labels that whoever scrapes gives to all."""

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not installed"
)
kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@pytest.fixture(scope="module")
def told(artifact: Artifact) -> Iterator[Scrape]:
    """The metrics of a server that has answered nothing yet."""
    with running(artifact.path, "--operations-listen", "127.0.0.1:0") as server:
        yield Scrape(address_of(server))


@pytest.fixture(scope="module")
def production() -> Objects:
    """The objects of an overlay with monitoring."""
    return render(KUSTOMIZE / "overlays/production")


@pytest.mark.parametrize("query", [*QUERIES, *(alert["expr"] for alert in ALERTS)])
def test_every_queried_metric_and_label_is_exposed(query: str, told: Scrape) -> None:
    """Every metric, label and label value in a query of the dashboard or the alerts is in /metrics of a real server."""
    known = told.labels()
    names = set(re.findall(r"\b(?:paravec|process)_\w+", query))
    assert names
    assert names <= known.keys()
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", query):
        for label, operator, wanted in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', matchers):
            if label in SCRAPERS:
                continue
            assert label in known[name]
            values = {code.name for code in CODES} if label == "code" else {
                dict(labels)[label] for sample, labels in told.samples if sample == name
            }  # fmt: skip
            for part in wanted.split("|") if operator == "=~" else [wanted]:
                assert any(re.fullmatch(part, value) for value in values), f"{label}={part}"
    for labels in re.findall(r"\bby \(([^)]*)\)", query):
        allowed = SCRAPERS.union(*(known[name] for name in names))
        assert set(re.split(r",\s*", labels)) <= allowed


def test_legends_use_labels_that_the_query_keeps() -> None:
    """A panel's legend uses only labels that its query sums by."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            kept = ", ".join(re.findall(r"\bby \(([^)]*)\)", target["expr"]))
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert label in kept.split(", ")


def test_panels_do_not_overlap() -> None:
    """Each panel has its own id and position, a unit and a description."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({tuple(panel["gridPos"].values()) for panel in panels})
    for panel in panels:
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_alerts_say_what_is_wrong() -> None:
    """Each has a severity and a summary, and its own name."""
    assert len({alert["alert"] for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert alert["annotations"]["summary"].endswith(".")
        for label in re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]):
            assert label in SCRAPERS


def test_every_overload_is_alerted_on(told: Scrape) -> None:
    """Refusals for what is in flight or waits count as overload; those at a start, a stop or for credentials do not."""
    (query,) = (alert["expr"] for alert in ALERTS if alert["alert"] == "ParavecOverloaded")
    (wanted,) = re.findall(r'reason=~"([^"]*)"', query)
    reasons = {dict(labels)["reason"] for sample, labels in told.samples if sample == "paravec_calls_refused_total"}
    assert len(reasons) == len(REASONS)
    assert {reason for reason in reasons if not re.fullmatch(wanted, reason)} == {"loading", "draining", "credentials"}


@kubectl
def test_the_operations_port_is_the_same_everywhere(production: Objects) -> None:
    """Setting, container, annotations, PodMonitor and NetworkPolicy name the same port."""
    port = ports(production)["operations"]
    assert settings(production)["PARAVEC_OPERATIONS_LISTEN"] == f"[::]:{port}"
    template = only(production, "Deployment")["spec"]["template"]["metadata"]
    said = {"scrape": "true", "port": str(port), "path": "/metrics"}
    assert template["annotations"] == {f"prometheus.io/{key}": value for key, value in said.items()}
    opened = [rule["ports"][0]["port"] for rule in only(production, "NetworkPolicy")["spec"]["ingress"]]
    assert opened == ["grpc", "operations"]


@kubectl
def test_the_dashboard_has_grafanas_label(production: Objects) -> None:
    """The dashboard's ConfigMap has the label of Grafana's sidecar and a name that does not change with its content."""
    (config,) = (o for o in production if o["metadata"].get("labels", {}).get("grafana_dashboard") == "1")
    assert (config["kind"], config["metadata"]["name"]) == ("ConfigMap", "paravec-dashboard")
    assert json.loads(config["data"]["paravec.json"]) == DASHBOARD


@kubectl
def test_podmonitor_and_prometheusrule_have_the_operators_fields(production: Objects) -> None:
    """PodMonitor and PrometheusRule have the fields of monitoring.coreos.com/v1, which kubernetes-validate does not
    cover."""
    monitor, rules = (yaml.safe_load((COMPONENTS / f"monitoring-operator/{name}.yaml").read_text())
                      for name in ("pod-monitor", "rules"))  # fmt: skip
    for found, kind in ((monitor, "PodMonitor"), (rules, "PrometheusRule")):
        assert (found["apiVersion"], found["kind"]) == ("monitoring.coreos.com/v1", kind)
    spec = monitor["spec"]
    assert spec.keys() == {"selector", "podMetricsEndpoints"}
    labels = only(render(KUSTOMIZE / "base"), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert spec["podMetricsEndpoints"] == [{"port": "operations", "path": "/metrics", "interval": "30s"}]
    (group,) = rules["spec"]["groups"]
    assert group.keys() == {"name", "rules"}
    for rule in group["rules"]:
        assert rule.keys() - {"for"} == {"alert", "expr", "labels", "annotations"}


@kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_overlay_needs_an_operator(overlay: str) -> None:
    """A cluster with nothing installed can apply each."""
    for found in render(KUSTOMIZE / "overlays" / overlay):
        assert not found["apiVersion"].startswith(INSTALLED)


def check(tmp_path: Path, *words: str, **files: Any) -> None:
    """Run promtool on these files; its output if it fails."""
    for name, content in files.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    done = subprocess.run(["promtool", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@promtool
def test_promtool_accepts_all_queries(tmp_path: Path) -> None:
    """promtool parses every alert as it is, and every dashboard query with Grafana's variables filled in."""
    check(tmp_path, "check", "rules", "rules.yaml", rules=RULES["spec"])
    filled = [query.replace("$__rate_interval", "5m").replace("$job", ".*") for query in QUERIES]
    recorded = [{"record": f"query{i}", "expr": query} for i, query in enumerate(filled)]
    check(tmp_path, "check", "rules", "queries.yaml", queries={"groups": [{"name": "panels", "rules": recorded}]})


FINE: dict[str, str] = {
    'paravec_workers{state="serving"}': "1x3000",
    'paravec_calls_total{method="Embed",code="OK"}': "0+600x3000",
    'paravec_calls_total{method="Embed",code="INTERNAL"}': "0x3000",
    'paravec_calls_total{method="Embed",code="CANCELLED"}': "0+6x3000",
    'paravec_calls_refused_total{reason="too_many_calls"}': "0x3000",
    'paravec_calls_refused_total{reason="draining"}': "0+600x3000",
    'paravec_call_duration_seconds_bucket{method="Embed",le="0.5"}': "0+600x3000",
    'paravec_call_duration_seconds_bucket{method="Embed",le="2.5"}': "0+600x3000",
    'paravec_call_duration_seconds_bucket{method="Embed",le="+Inf"}': "0+600x3000",
    "paravec_worker_restarts_total": "0x3000",
    "paravec_tokens_total": "0+1000x3000",
    "paravec_unknown_tokens_total": "0+100x3000",
}
"""Two days of a server that is well, a sample a minute."""

TROUBLE = {
    "ParavecNotReady": {'paravec_workers{state="serving"}': "0x3000"},
    "ParavecErrors": {'paravec_calls_total{method="Embed",code="INTERNAL"}': "0+20x3000"},
    "ParavecOverloaded": {'paravec_calls_refused_total{reason="too_much_work"}': "0+20x3000"},
    "ParavecCancelled": {'paravec_calls_total{method="Embed",code="CANCELLED"}': "0+60x3000"},
    "ParavecSlow": {'paravec_call_duration_seconds_bucket{method="Embed",le="0.5"}': "0+500x3000"},
    "ParavecWorkerRestarts": {"paravec_worker_restarts_total": "0+0.2x3000"},
    "ParavecUnknownTokens": {"paravec_unknown_tokens_total": "0+100x2880 288000+400x120"},
}


@promtool
@pytest.mark.parametrize("name", [*TROUBLE, "ParavecGone", "nothing"])
def test_an_alert_fires_only_for_its_own_condition(name: str, tmp_path: Path) -> None:
    """For a server with one problem, only that problem's alert fires; for a healthy server, none."""
    # Only what looks a day back needs the two days.
    when = "3000m" if name in ("ParavecUnknownTokens", "nothing") else "120m"
    figures = {} if name == "ParavecGone" else FINE | TROUBLE.get(name, {})
    series = [
        {"series": re.sub(r"^(\w+)\{?", r'\1{job="a",instance="b",', key).rstrip("}") + "}", "values": values}
        for key, values in figures.items()
    ]
    expected = [
        {"eval_time": when, "alertname": alert["alert"], "exp_alerts": []} for alert in ALERTS if alert["alert"] != name
    ]
    fires = {"expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})', "eval_time": when}
    fires["exp_samples"] = [] if name == "nothing" else [{"labels": "{}", "value": 1}]  # type: ignore[assignment]
    test = {"interval": "1m", "input_series": series, "alert_rule_test": expected, "promql_expr_test": [fires]}
    tests = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    check(tmp_path, "test", "rules", "tests.yaml", rules=RULES["spec"], tests=tests)
