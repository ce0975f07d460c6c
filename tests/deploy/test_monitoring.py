"""The dashboard and the alerts use metrics that a real server exposes, and promtool accepts them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from paravec_model.artifact import Artifact
from paravec_server.telemetry.counters import CODES, REASONS

from ..pages import blocks, commands
from ..scrapes import Scrape, address_of
from ..servers import running
from .manifests import INSTALLED, KUSTOMIZE, OVERLAYS, Objects, only, ports, render, settings
from .promtool import needed, promtool

COMPONENTS = KUSTOMIZE / "components"
DASHBOARD = json.loads((KUSTOMIZE / "dashboard/paravec.json").read_text())
RULES = yaml.safe_load((KUSTOMIZE / "alerts/rules.yaml").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS = [rule["expr"] for group in RULES["spec"]["groups"] for rule in group["rules"]]

SCRAPERS = {"job", "instance", "namespace", "app_kubernetes_io_instance", "app_kubernetes_io_name"}
"""Labels that whoever scrapes gives to all."""

OTHERS: dict[str, set[str]] = {
    "up": set(),
    "paravec:up": set(),
    "kube_cronjob_status_last_schedule_time": {"cronjob"},
    "kube_cronjob_status_last_successful_time": {"cronjob"},
    "kube_deployment_spec_replicas": {"deployment"},
    "kube_deployment_status_replicas_unavailable": {"deployment"},
    "kube_deployment_status_replicas_updated": {"deployment"},
}
"""Metrics and their labels that no server of ours exposes: of Prometheus, of our rules, and of kube-state-metrics."""

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


@pytest.mark.parametrize("query", [*QUERIES, *EXPRESSIONS])
def test_every_queried_metric_and_label_is_exposed(query: str, told: Scrape) -> None:
    """Every metric, label and label value in a query of the dashboard or the alerts is in /metrics of a real server."""
    known = told.labels() | OTHERS
    names = set(re.findall(r"\b(?:(?:paravec|process|kube)_|paravec:|up\b)\w*", query))
    assert names
    assert names <= known.keys()
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", query):
        for label, operator, wanted in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', matchers):
            if label in SCRAPERS:
                continue
            assert label in known[name]
            if name in OTHERS:
                continue
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


def test_all_panels_filter_by_namespace_and_environment() -> None:
    """Each metric of each panel is of the chosen namespaces and environments, each from the chosen data source."""
    chosen = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert chosen == ["datasource", "namespace", "instance"]
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in DASHBOARD["panels"])
    for query in QUERIES:
        filters = re.findall(r"\b(?:paravec|process)_\w+(?:\{([^}]*)\})?", query)
        assert all('namespace=~"$namespace",app_kubernetes_io_instance=~"$instance"' in one for one in filters)


def test_panels_do_not_overlap() -> None:
    """Each panel has its own id and position, a unit and a description."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({tuple(panel["gridPos"].values()) for panel in panels})
    for panel in panels:
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_every_overload_is_alerted_on(told: Scrape) -> None:
    """Refusals for what is in flight or waits count as overload; those at a start, a stop or for credentials do not."""
    (query,) = (query for query in EXPRESSIONS if "paravec_calls_refused_total" in query)
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
    """The ConfigMap has the label of Grafana's sidecar and a fixed name; no environment has a copy."""
    (config,) = render(KUSTOMIZE / "dashboard")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert not any("grafana_dashboard" in found["metadata"].get("labels", {}) for found in production)
    assert (config["kind"], config["metadata"]["name"]) == ("ConfigMap", "paravec-dashboard")
    assert json.loads(config["data"]["paravec.json"]) == DASHBOARD


@kubectl
def test_the_podmonitor_has_the_operators_fields() -> None:
    """The PodMonitor has the fields of monitoring.coreos.com/v1, which kubernetes-validate does not cover."""
    monitor = yaml.safe_load((COMPONENTS / "monitoring-operator/pod-monitor.yaml").read_text())
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor")
    spec = monitor["spec"]
    assert spec.keys() == {"selector", "podTargetLabels", "podMetricsEndpoints"}
    labels = only(render(KUSTOMIZE / "base"), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert set(spec["podTargetLabels"]) <= labels.keys()
    assert {re.sub(r"\W", "_", name) for name in spec["podTargetLabels"]} == SCRAPERS - {"job", "instance", "namespace"}
    assert spec["podMetricsEndpoints"] == [{"port": "operations", "path": "/metrics", "interval": "30s"}]


@kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_overlay_needs_an_operator(overlay: str) -> None:
    """A cluster with nothing installed can apply each."""
    for found in render(KUSTOMIZE / "overlays" / overlay):
        assert not found["apiVersion"].startswith(INSTALLED)


@needed
def test_promtool_accepts_all_queries(tmp_path: Path) -> None:
    """promtool parses every alert as it is, and every dashboard query with Grafana's variables filled in."""
    promtool(tmp_path, "check", "rules", "rules.yaml", rules=RULES["spec"])
    filled = [re.sub(r"\$(namespace|instance)\b", ".*", query.replace("$__rate_interval", "5m")) for query in QUERIES]
    recorded = [{"record": f"query{i}", "expr": query} for i, query in enumerate(filled)]
    promtool(tmp_path, "check", "rules", "queries.yaml", queries={"groups": [{"name": "panels", "rules": recorded}]})


@kubectl
@needed
def test_a_prometheus_without_the_operator_gets_a_file_of_rules(tmp_path: Path) -> None:
    """The documented command makes the alerts a file that Prometheus accepts."""
    (command,) = (line for line in commands("docs/how-to/monitor-a-server.md", "kubectl") if "sed" in line)
    (tmp_path / "kustomize").symlink_to(KUSTOMIZE)
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert yaml.safe_load((tmp_path / "paravec-rules.yaml").read_text()) == RULES["spec"]
    promtool(tmp_path, "check", "rules", "paravec-rules.yaml")


@needed
def test_the_documented_relabelling_sets_the_labels_of_the_alerts(tmp_path: Path) -> None:
    """Prometheus accepts the relabelling for discovery by annotations; it sets what alerts and dashboard go by."""
    (block,) = blocks("docs/how-to/monitor-a-server.md", "yaml")
    relabelling = yaml.safe_load(block.code)
    made = {rule["target_label"] for rule in relabelling["relabel_configs"]}
    assert made == SCRAPERS - {"job", "instance"} | {"pod"}
    # Debian's build discovers no pods.
    pods = {"job_name": "kubernetes-pods", "static_configs": [{"targets": ["a:9464"]}], **relabelling}
    promtool(tmp_path, "check", "config", "prometheus.yaml", prometheus={"scrape_configs": [pods]})
