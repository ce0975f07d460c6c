"""The components of Kustomize, as they render on the base."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from paravec_model import __version__

from .manifests import (
    COMPONENTS,
    KUSTOMIZE,
    ROOT,
    SUPPORTED,
    added,
    composed,
    containers,
    only,
    pod,
    render,
    settings,
    validate,
)

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_component_renders_on_the_base(component: str, tmp_path: Path) -> None:
    """Each component renders on the base, without a warning, and is valid; alone, or with the one that it needs."""
    validate(render(composed(tmp_path, *added(component))), SUPPORTED[-1])


def test_an_in_memory_store_fits_the_containers_memory_limits(tmp_path: Path) -> None:
    """A store of medium Memory is smaller than each container's memory limit."""
    objects = render(composed(tmp_path, "volume-memory"))
    (store,) = (volume for volume in pod(objects)["volumes"] if volume["name"] == "model-store")
    size = int(store["emptyDir"]["sizeLimit"].removesuffix("Mi"))
    for container in containers(objects):
        assert int(container["resources"]["limits"]["memory"].removesuffix("Gi")) * 1024 > size


@pytest.mark.parametrize("component", ["ingress", "gateway"])
def test_ingress_and_grpcroute_reach_the_pods(component: str, tmp_path: Path) -> None:
    """Ingress and GRPCRoute name the component's Service, which has a cluster IP and selects the pods."""
    host = f"""patches:
  - target: {{name: paravec-server, kind: {"Ingress" if component == "ingress" else "GRPCRoute"}}}
    patch: |-
"""
    paths = ["/spec/rules/0/host", "/spec/tls/0/hosts/0"] if component == "ingress" else ["/spec/hostnames/0"]
    host += "".join(f"      - {{op: replace, path: {path}, value: vectors.example.com}}\n" for path in paths)
    objects = render(composed(tmp_path, component, more=host))
    assert "paravec.example.com" not in yaml.safe_dump_all(objects)
    (service,) = (s for s in objects if s["kind"] == "Service" and s["metadata"]["name"] != "paravec-server")
    assert "clusterIP" not in service["spec"]
    (port,) = service["spec"]["ports"]
    assert port["appProtocol"] == "kubernetes.io/h2c"
    name = service["metadata"]["name"]
    if component == "ingress":
        spec = only(objects, "Ingress")["spec"]
        (path,) = spec["rules"][0]["http"]["paths"]
        assert path["backend"]["service"] == {"name": name, "port": {"name": port["name"]}}
        assert spec["tls"][0]["hosts"] == [spec["rules"][0]["host"]]
        return
    route = only(objects, "GRPCRoute")
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["spec"].keys() == {"parentRefs", "hostnames", "rules"}
    assert route["spec"]["rules"] == [{"backendRefs": [{"name": name, "port": port["port"]}]}]


def test_the_tls_component_mounts_its_secrets_and_keeps_the_probes(tmp_path: Path) -> None:
    """The TLS settings name the mounted Secret's files, and probes use the operations port, which is plain HTTP."""
    plain, objects = render(KUSTOMIZE / "base"), render(composed(tmp_path, "tls", "tokens"))
    (server,), volumes = pod(objects)["containers"], {v["name"]: v for v in pod(objects)["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in server["volumeMounts"]}
    secrets = {}
    for name in ("TLS_CERT", "TLS_KEY", "TOKENS_FILE"):
        file = Path(settings(objects)[f"PARAVEC_{name}"])
        mount = mounts[str(file.parent)]
        assert mount["readOnly"]
        # A file mounted by itself is never renewed.
        assert "subPath" not in mount
        secret = volumes[mount["name"]]["secret"]
        assert secret["defaultMode"] == 0o440
        secrets[name] = (secret["secretName"], file.name)
    assert secrets == {
        "TLS_CERT": ("paravec-server-tls", "tls.crt"),
        "TLS_KEY": ("paravec-server-tls", "tls.key"),
        "TOKENS_FILE": ("paravec-server-tokens", "tokens"),
    }
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe] == pod(plain)["containers"][0][probe]
        assert server[probe]["httpGet"]["port"] == "operations"
    assert only(objects, "Service")["spec"]["ports"][0]["appProtocol"] == "https"


def test_the_signature_component_mounts_the_overlays_key(tmp_path: Path) -> None:
    """The server reads the key from the ConfigMap that the overlay generates; another key rolls the pods."""
    names = []
    for key in ("one", "two"):
        folder = tmp_path / key
        folder.mkdir()
        (folder / "signer.pub").write_text(key)
        more = "configMapGenerator: [{name: paravec-signer, files: [signer.pub]}]\nnamePrefix: blue-\n"
        objects = render(composed(folder, "signature", more=more))
        validate(objects, SUPPORTED[-1])
        (server,), volumes = pod(objects)["containers"], {v["name"]: v for v in pod(objects)["volumes"]}
        file = Path(settings(objects)["PARAVEC_VERIFY_KEY"])
        (mount,) = (mount for mount in server["volumeMounts"] if mount["mountPath"] == str(file.parent))
        assert mount["readOnly"]
        assert settings(objects)["PARAVEC_VERIFY"] == "signature"
        names.append(volumes[mount["name"]]["configMap"]["name"])
        (found,) = (o for o in objects if o["kind"] == "ConfigMap" and o["metadata"]["name"] == names[-1])
        assert found["data"] == {file.name: key}
    assert names[0] != names[1]


def test_the_example_reaches_the_server_and_is_locked_down(tmp_path: Path) -> None:
    """faq-engine calls the Service by its name and port, reads the mounted file, and is bound as the server is."""
    objects = render(composed(tmp_path, "faq-engine"))
    named = {(o["kind"], o["metadata"]["name"]): o for o in objects}
    service, page = named["Service", "paravec-server"], named["Service", "faq-engine"]
    spec = named["Deployment", "faq-engine"]["spec"]
    template = spec["template"]
    assert page["spec"]["selector"] == spec["selector"]["matchLabels"]
    assert page["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    (container,) = template["spec"]["containers"]
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == volumes.keys()
    (source,) = container["envFrom"]
    variables = named["ConfigMap", source["configMapRef"]["name"]]["data"]
    data = named["ConfigMap", volumes["entries"]["configMap"]["name"]]["data"]
    assert variables["PARAVEC_SERVICE"] == service["metadata"]["name"]
    given = {variable["name"]: variable for variable in container["env"]}
    assert given["PARAVEC_TARGET"]["value"] == f"dns:///$(PARAVEC_SERVICE):{service['spec']['ports'][0]['port']}"
    # It also runs without the Secret.
    assert given["PARAVEC_TOKEN"]["valueFrom"]["secretKeyRef"]["optional"]
    assert volumes["ca"]["secret"]["optional"]
    (file,) = data
    assert variables["FAQ_FILE"] == f"{mounts['entries']}/{file}"
    assert all(json.loads(line)["question"] for line in data["faq.jsonl"].splitlines())
    assert container["image"] == f"paravec-faq:{__version__}"
    port = container["ports"][0]["name"]
    assert page["spec"]["ports"][0]["targetPort"] == port
    assert {kind: container[kind]["httpGet"] for kind in ("readinessProbe", "livenessProbe")} == {
        "readinessProbe": {"path": "/readyz", "port": port},
        "livenessProbe": {"path": "/healthz", "port": port},
    }
    server = {o["kind"]: o for o in render(KUSTOMIZE / "base")}["Deployment"]["spec"]["template"]["spec"]
    assert container["securityContext"] == server["containers"][0]["securityContext"]
    assert template["spec"]["securityContext"].items() <= server["securityContext"].items()
    assert template["spec"]["automountServiceAccountToken"] is False
    assert all(container["resources"][kind].keys() == {"cpu", "memory"} for kind in ("requests", "limits"))


def test_another_faq_file_rolls_the_example(tmp_path: Path) -> None:
    """A component with another FAQ file, as the page of the example shows, changes its pod template."""
    mine, plain = tmp_path / "faq", tmp_path / "plain"
    for folder in (mine, plain):
        folder.mkdir()
    shown = (ROOT / "docs/how-to/run-the-faq-example.md").read_text().split("```yaml\n")
    (mine / "kustomization.yaml").write_text(shown[1].partition("```")[0])
    (mine / "faq.jsonl").write_text('{"question": "Q?", "answer": "A."}\n')
    assert shown[2].partition("```")[0] == "components:\n  - ../../components/faq-engine\n  - faq\n"
    composed(tmp_path, "faq-engine")
    with (tmp_path / "kustomization.yaml").open("a") as overlay:
        overlay.write("  - faq\n")
    names = []
    for objects in (render(composed(plain, "faq-engine")), render(tmp_path)):
        (found,) = (o for o in objects if (o["kind"], o["metadata"]["name"]) == ("Deployment", "faq-engine"))
        names.append(found["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"])
    assert names[0] != names[1]
    (data,) = (o["data"] for o in objects if o["metadata"]["name"] == names[1])
    assert data["faq.jsonl"] == (mine / "faq.jsonl").read_text()
