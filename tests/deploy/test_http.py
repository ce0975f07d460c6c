"""The component http: Envoy's pods reach the servers, are bound as these are, and change as its page says."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..pages import blocks
from .manifests import KUSTOMIZE, Objects, composed, in_bytes, render
from .test_environments import allowed, pod_labels

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

PAGE = "docs/how-to/deploy-http.md"


def named(objects: Objects, prefix: str = "") -> dict[tuple[str, str], dict[str, Any]]:
    """Objects by kind and name, less the hash of what is generated."""
    found = {}
    for one in objects:
        name = one["metadata"]["name"].removeprefix(prefix)
        found[one["kind"], re.sub(r"-[a-z0-9]{10}$", "", name) if one["kind"] == "ConfigMap" else name] = one
    return found


def variables(objects: Objects, prefix: str = "") -> dict[str, str]:
    """What Envoy's container gets from its ConfigMaps; the last one decides."""
    (container,) = named(objects, prefix)["Deployment", "paravec-http"]["spec"]["template"]["spec"]["containers"]
    data = {one["metadata"]["name"]: one["data"] for one in objects if one["kind"] == "ConfigMap" and "data" in one}
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        found |= data[source["configMapRef"]["name"]]
    return found


def upstream(objects: Objects, prefix: str = "") -> dict[str, Any]:
    """The cluster that Envoy gets as an argument, with variables replaced as Kubernetes does it."""
    (container,) = named(objects, prefix)["Deployment", "paravec-http"]["spec"]["template"]["spec"]["containers"]
    text = container["args"][container["args"].index("--config-yaml") + 1]
    given = variables(objects, prefix)
    (cluster,) = yaml.safe_load(re.sub(r"\$\((\w+)\)", lambda one: given[one[1]], text))["static_resources"]["clusters"]
    return dict(cluster)


def bootstrap(objects: Objects) -> dict[str, Any]:
    """envoy.yaml in the ConfigMap."""
    return dict(yaml.safe_load(named(objects)["ConfigMap", "paravec-http"]["data"]["envoy.yaml"]))


def endpoint(cluster: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The address of the servers, and what chooses the transport."""
    (found,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    match = found["metadata"]["filter_metadata"]["envoy.transport_socket_match"]
    return found["endpoint"]["address"]["socket_address"], match


@pytest.mark.parametrize("components", [("http",), ("http", "tls"), ("tls", "http")])
def test_envoy_calls_the_service_as_the_server_speaks(components: tuple[str, ...], tmp_path: Path) -> None:
    """The address is the Service's under a prefix; TLS and its name follow the server's settings, in any order."""
    objects = render(composed(tmp_path, *components, more="namePrefix: blue-\n"))
    service = named(objects, "blue-")["Service", "paravec-server"]
    cluster = upstream(objects, "blue-")
    address, match = endpoint(cluster)
    assert address == {"address": "blue-paravec-server", "port_value": service["spec"]["ports"][0]["port"]}
    assert bool(match["certificate"]) == ("tls" in components)
    assert match["client_ca"] == ""
    plain, tls, mutual = cluster["transport_socket_matches"]
    assert (plain["match"], tls["match"], mutual["match"]) == ({"certificate": ""}, {"client_ca": ""}, {})
    assert tls["transport_socket"]["typed_config"]["sni"] == "blue-paravec-server"


def test_mutual_tls_is_the_servers_setting_too(tmp_path: Path) -> None:
    """With the overlay's PARAVEC_TLS_CLIENT_CA, Envoy shows a certificate."""
    more = (
        "configMapGenerator:\n  - name: paravec-server\n    behavior: merge\n"
        "    literals: [PARAVEC_TLS_CLIENT_CA=/run/secrets/tls/ca.crt]\n"
    )
    _, match = endpoint(upstream(render(composed(tmp_path, "tls", "http", more=more))))
    assert all(match.values())


def test_envoy_is_locked_down_and_within_its_memory(tmp_path: Path) -> None:
    """Its container is bound as the server's, cannot read the server's key, and its heap is half of its memory."""
    objects = render(composed(tmp_path, "http", "tls"))
    spec = named(objects)["Deployment", "paravec-http"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    (server,) = named(objects)["Deployment", "paravec-server"]["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"] == server["securityContext"]
    assert spec["automountServiceAccountToken"] is False
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    secrets = {one["name"]: one["secret"] for one in spec["volumes"] if "secret" in one}
    assert secrets["server-ca"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    monitors = {one["name"]: one["typed_config"] for one in bootstrap(objects)["overload_manager"]["resource_monitors"]}
    heap = monitors["envoy.resource_monitors.fixed_heap"]["max_heap_size_bytes"]
    assert heap * 2 == in_bytes(container["resources"]["limits"]["memory"])
    # Two pods fill no server.
    most = monitors["envoy.resource_monitors.global_downstream_max_connections"]["max_active_downstream_connections"]
    replicas = named(objects)["Deployment", "paravec-http"]["spec"]["replicas"]
    assert most * replicas <= int(variables(objects)["PARAVEC_MAX_CONNECTIONS"])


def seconds(text: str) -> int:
    """A duration of Envoy's."""
    return int(text.removesuffix("s"))


def test_a_stopping_pod_outlives_its_connections(tmp_path: Path) -> None:
    """preStop is longer than any connection, with some seconds for those that are just made; then it may end."""
    objects = render(composed(tmp_path, "http"))
    spec = named(objects)["Deployment", "paravec-http"]["spec"]["template"]["spec"]
    (manager,) = bootstrap(objects)["static_resources"]["listeners"][1]["filter_chains"][0]["filters"]
    options = manager["typed_config"]["common_http_protocol_options"]
    longest = seconds(options["max_connection_duration"]) + seconds(options["idle_timeout"])
    pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert longest + 5 <= pause < spec["terminationGracePeriodSeconds"]


def test_ports_probes_and_metrics_are_those_of_envoys_listeners(tmp_path: Path) -> None:
    """Ports by name are the listeners', probes ask operations, and https takes the place of http with http-tls."""
    objects = render(composed(tmp_path, "http"))
    found = named(objects)
    template = found["Deployment", "paravec-http"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    listeners = bootstrap(objects)["static_resources"]["listeners"]
    wanted = {one["name"]: one["address"]["socket_address"]["port_value"] for one in listeners}
    assert {one["name"]: one["containerPort"] for one in container["ports"]} == wanted
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(wanted["operations"])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == "operations"
    (tmp_path / "tls").mkdir()
    secure = named(render(composed(tmp_path / "tls", "http", "http-tls")))
    for one, name in ((found, "http"), (secure, "https")):
        (port,) = one["Service", "paravec-http"]["spec"]["ports"]
        assert port["targetPort"] == name
        assert one["NetworkPolicy", "paravec-http"]["spec"]["ingress"][0]["ports"][0]["port"] == name


def yaml_blocks() -> list[str]:
    """The YAML of the page."""
    return [block.code for block in blocks(PAGE, "yaml")]


def test_the_page_changes_image_and_origins(tmp_path: Path) -> None:
    """Its lines of an overlay give another image and other origins."""
    _, image, origins, _ = yaml_blocks()
    objects = render(composed(tmp_path, "http", more=image + origins))
    (container,) = named(objects)["Deployment", "paravec-http"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/envoy:distroless-v1.40.0"
    for listener in bootstrap(objects)["static_resources"]["listeners"][1:]:
        (manager,) = listener["filter_chains"][0]["filters"]
        (host,) = manager["typed_config"]["route_config"]["virtual_hosts"]
        (policy,) = host["typed_per_filter_config"].values()
        (allowed_origin,) = policy["allow_origin_string_match"]
        assert allowed_origin["safe_regex"]["regex"] == r"()https://(app|www)\.example\.com()"


def test_the_page_shields_the_grpc_port(tmp_path: Path) -> None:
    """By its patch only Envoy reaches the servers; without it the namespace does. Others reach Envoy."""
    *_, patch = yaml_blocks()
    stranger = {"app.kubernetes.io/name": "shop"}
    for folder, more in (("open", ""), ("shielded", patch)):
        (tmp_path / folder).mkdir()
        objects = render(composed(tmp_path / folder, "http", "network-policy", more=more))
        labels = pod_labels(objects)
        envoy, server = labels["paravec-http"], labels["paravec-server"]
        assert allowed(objects, envoy, server, "grpc")
        assert not allowed(objects, envoy, server, "operations")
        assert allowed(objects, envoy, stranger, 53)
        assert allowed(objects, stranger, envoy, "http")
        assert allowed(objects, stranger, envoy, "operations")
        assert allowed(objects, stranger, server, "grpc") == (folder == "open")


def test_http_stands_before_one_environment(tmp_path: Path) -> None:
    """Where two environments are one overlay's, it belongs into one of them; the error names the server."""
    with pytest.raises(AssertionError, match=r"multiple matches for selector .*paravec-server"):
        render(composed(tmp_path, "http", on="overlays/production-canary"))


def test_a_candidate_has_no_envoy(tmp_path: Path) -> None:
    """HTTP callers stay with the environment."""
    objects = render(composed(tmp_path, "http", "candidate"))
    assert not [one for one in objects if "paravec-http" in one["metadata"]["name"]]


def test_the_component_has_what_envoy_reads() -> None:
    """Each file that its configuration names is in the ConfigMap."""
    folder = KUSTOMIZE / "components/http"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["configMapGenerator"][0]["files"]
    texts = [(folder / name).read_text() for name in ("envoy.yaml", "upstream.yaml")]
    read = {name for text in texts for name in re.findall(r"path: \./([\w-]+\.yaml)", text)}
    assert read <= set(listed)
    assert set(re.findall(r"(?:proto_descriptor|filename): ([\w.-]+)", texts[0])) == {"paravec.binpb", "errors.lua"}
    assert {"paravec.binpb", "errors.lua"} <= set(listed)
