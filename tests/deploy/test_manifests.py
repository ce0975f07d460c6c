"""The manifests, as `kubectl kustomize` renders them."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from paravec_model import __version__

from .manifests import (
    KUSTOMIZE,
    OVERLAYS,
    ROOT,
    SUPPORTED,
    Objects,
    images,
    only,
    pod,
    ports,
    render,
    replicas,
    roll,
    settings,
    validate,
    versions,
    volume_kind,
)

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

COMPONENTS = sorted(path.name for path in (KUSTOMIZE / "components").iterdir())


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    """The name of an overlay."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def objects(overlay: str) -> Objects:
    """What it renders to."""
    return render(KUSTOMIZE / "overlays" / overlay)


def containers(objects: Objects) -> list[dict[str, Any]]:
    """All containers of the pod, the init container first."""
    return [*(pod(objects).get("initContainers") or []), *pod(objects)["containers"]]


def beneath(value: Any, key: str) -> Iterator[Any]:
    """All values of a key, anywhere."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from beneath(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from beneath(inner, key)


def composed(tmp_path: Path, *components: str, more: str = "") -> Path:
    """A kustomization outside the repository: the base with components."""
    here = os.path.relpath(KUSTOMIZE.resolve(), tmp_path.resolve())
    listed = "".join(f"\n  - {here}/components/{name}" for name in components)
    text = f"resources:\n  - {here}/base\n" + (f"components:{listed}\n" if components else "") + more
    (tmp_path / "kustomization.yaml").write_text(text)
    return tmp_path


def test_an_overlay_is_valid_for_each_kubernetes(overlay: str, objects: Objects) -> None:
    """The strict schema of the oldest and the newest version that it is for takes every object."""
    for version in (versions(overlay)[0], versions(overlay)[-1]):
        validate(objects, version)


def test_an_image_volume_is_not_for_older_versions() -> None:
    """The schema knows none before it came, so that the validation would notice a field that is not there."""
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(render(KUSTOMIZE / "overlays/production-image-volume"), "1.30")


def test_an_unknown_api_is_an_error() -> None:
    """The validation does not pass what it does not know."""
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        validate([{"apiVersion": "apps/v9", "kind": "Deployment"}], SUPPORTED[-1])


def test_a_misspelt_field_is_an_error(objects: Objects) -> None:
    """The validation is strict."""
    deployment = only(objects, "Deployment")
    with pytest.raises(kubernetes_validate.ValidationError):
        validate([deployment | {"spec": deployment["spec"] | {"replica": 1}}], SUPPORTED[-1])


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_goes_with_the_base(component: str, tmp_path: Path) -> None:
    """Each renders alone upon the base, without a warning, and is valid."""
    validate(render(composed(tmp_path, component)), SUPPORTED[-1])


def test_the_base_runs_as_it_is() -> None:
    """It is complete without an overlay."""
    objects = render(KUSTOMIZE / "base")
    validate(objects, SUPPORTED[0])
    assert {found["kind"] for found in objects} == {
        "ConfigMap", "Deployment", "PodDisruptionBudget", "Service", "ServiceAccount",
    }  # fmt: skip


def test_overlays_differ_in_this_alone() -> None:
    """Kind of volume, replicas, and the objects beyond the base."""
    base = {found["kind"] for found in render(KUSTOMIZE / "base")}
    table = {}
    for name in OVERLAYS:
        objects = render(KUSTOMIZE / "overlays" / name)
        table[name] = (volume_kind(objects), replicas(objects), {found["kind"] for found in objects} - base)
    scaled = {"HorizontalPodAutoscaler", "NetworkPolicy"}
    assert table == {
        "development": ("emptyDir", "1", set()),
        "staging": ("memory", "1", set()),
        "production": ("persistent", "3 to 10", scaled | {"PersistentVolumeClaim"}),
        "production-image-volume": ("image", "3 to 10", scaled),
    }


def test_selectors_match_the_pods(objects: Objects) -> None:
    """Whatever selects pods selects these."""
    labels = only(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    found = [s.get("matchLabels", s) for key in ("selector", "podSelector", "labelSelector")
             for s in beneath(objects, key)]  # fmt: skip
    assert len(found) >= 3
    for selector in found:
        assert selector.items() <= labels.items()


def test_selectors_hold_no_environment(overlay: str, objects: Objects) -> None:
    """A Deployment's selector cannot be changed later; the environment is a label of the pods alone."""
    deployment = only(objects, "Deployment")["spec"]
    assert deployment["selector"]["matchLabels"] == {"app.kubernetes.io/name": "paravec-server"}
    assert deployment["template"]["metadata"]["labels"]["environment"] == overlay


def test_mounts_and_volumes_belong_together(objects: Objects) -> None:
    """Every mount has its volume, and every volume is mounted."""
    mounted = {mount["name"] for container in containers(objects) for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod(objects)["volumes"]}


def test_init_container_and_server_agree(overlay: str, objects: Objects) -> None:
    """What the init container links is what the server serves, and both see the store at the same place."""
    (server,) = pod(objects)["containers"]
    mounts = {mount["name"]: mount for mount in server["volumeMounts"]}
    assert all(mount["readOnly"] for mount in mounts.values())
    model = settings(objects)["PARAVEC_MODEL"]
    if overlay == "production-image-volume":
        assert not pod(objects).get("initContainers")
        assert model == mounts["model-store"]["mountPath"] + "/usr/src/d2v_model"
        return
    (init,) = pod(objects)["initContainers"]
    _, store, link = init["args"]
    assert link == model
    places = {mount["name"]: mount["mountPath"] for mount in init["volumeMounts"]}
    assert places == {name: mount["mountPath"] for name, mount in mounts.items()}
    assert places["model-store"] == store
    assert places["model-link"] == str(Path(link).parent)


def test_probes_ask_a_port_that_is_there(objects: Objects) -> None:
    """Start and readiness ask whether it takes calls, life whether the process is alive."""
    (server,) = pod(objects)["containers"]
    assert {probe: server[probe]["httpGet"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {
        "startupProbe": {"path": "/readyz", "port": "operations"},
        "readinessProbe": {"path": "/readyz", "port": "operations"},
        "livenessProbe": {"path": "/livez", "port": "operations"},
    }
    assert settings(objects)["PARAVEC_OPERATIONS_LISTEN"].endswith(f":{ports(objects)['operations']}")
    assert settings(objects)["PARAVEC_LISTEN"].endswith(f":{ports(objects)['grpc']}")
    service = only(objects, "Service")["spec"]
    assert service["clusterIP"] == "None"
    assert [p["targetPort"] for p in service["ports"]] == ["grpc"]


def test_a_stop_has_the_time_it_needs(objects: Objects) -> None:
    """The kubelet waits longer than preStop and the drain take."""
    (server,) = pod(objects)["containers"]
    pause = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = pause + float(settings(objects)["PARAVEC_DRAIN_SECONDS"])
    assert pod(objects)["terminationGracePeriodSeconds"] > needed


def test_a_rollout_loses_no_capacity(objects: Objects) -> None:
    """A new pod is ready before an old one goes."""
    assert only(objects, "Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_containers_are_locked_down(objects: Objects) -> None:
    """No root, no capability, no writable root, no token, and limits on all."""
    spec = pod(objects)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert only(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    for container in containers(objects):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["allowPrivilegeEscalation"] is False
        for kind in ("requests", "limits"):
            assert container["resources"][kind].keys() == {"cpu", "memory"}


def test_images_have_tags(objects: Objects) -> None:
    """None is `latest`, and the server's is this version."""
    tags = dict(image.split(":") for image in images(objects))
    assert tags.keys() == {"doc2vec-model", "paravec-server"}
    assert "latest" not in tags.values()
    assert tags["paravec-server"] == __version__


def copied(tmp_path: Path) -> Path:
    """A copy of the kustomize folder that a test may edit."""
    return Path(shutil.copytree(KUSTOMIZE, tmp_path / "kustomize"))


def changed(objects: Objects, other: Objects) -> list[tuple[str, str]]:
    """The lines in which two renderings differ."""
    one, two = (yaml.safe_dump_all(found).splitlines() for found in (objects, other))
    assert len(one) == len(two)
    return [(a.strip(), b.strip()) for a, b in zip(one, two, strict=True) if a != b]


def test_another_model_is_one_line(overlay: str, objects: Objects, tmp_path: Path) -> None:
    """The tag stands once in an overlay, and changes the model's image and nothing else."""
    path = copied(tmp_path) / "overlays" / overlay
    roll(path, "1.1.0")
    ((old, new),) = changed(objects, render(path))
    assert old.endswith("doc2vec-model:1.0.0")
    assert new.endswith("doc2vec-model:1.1.0")


def test_a_model_can_be_pinned_by_digest(overlay: str, tmp_path: Path) -> None:
    """`digest:` in place of `newTag:` does it."""
    digest = "sha256:" + "a" * 64
    file = copied(tmp_path) / "overlays" / overlay / "kustomization.yaml"
    before, name, after = file.read_text().partition("name: doc2vec-model\n")
    file.write_text(before + name + after.replace('newTag: "1.0.0"', f"digest: {digest}", 1))
    assert images(render(file.parent))[0] == f"doc2vec-model@{digest}"


def test_a_changed_setting_rolls_the_pods(tmp_path: Path) -> None:
    """The ConfigMap gets another name, and the pod's template with it."""
    more = (
        "configMapGenerator:\n  - name: paravec-server\n    behavior: merge\n    literals: [PARAVEC_LOG_LEVEL=debug]\n"
    )
    objects = render(composed(tmp_path, more=more))
    assert settings(objects)["PARAVEC_LOG_LEVEL"] == "debug"
    names = {only(found, "ConfigMap")["metadata"]["name"] for found in (objects, render(KUSTOMIZE / "base"))}
    assert len(names) == 2


def test_memory_is_granted_to_who_writes_it(tmp_path: Path) -> None:
    """A store in memory counts as the pod's memory: both containers may use more than it holds."""
    objects = render(composed(tmp_path, "volume-memory"))
    (store,) = (volume for volume in pod(objects)["volumes"] if volume["name"] == "model-store")
    size = int(store["emptyDir"]["sizeLimit"].removesuffix("Mi"))
    for container in containers(objects):
        assert int(container["resources"]["limits"]["memory"].removesuffix("Gi")) * 1024 > size


@pytest.mark.parametrize("component", ["ingress", "gateway"])
def test_the_way_in_leads_to_the_pods(component: str, tmp_path: Path) -> None:
    """Ingress and GRPCRoute name a Service of the component, which has an address and selects the pods."""
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


def test_tls_reads_its_secrets_and_leaves_the_probes_alone(tmp_path: Path) -> None:
    """The Secret's files are what the server reads; the probes ask a port that speaks no TLS."""
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
    (volume,) = template["spec"]["volumes"]
    data = named["ConfigMap", volume["configMap"]["name"]]["data"]
    # All that the container reads from the ConfigMap is the one that is mounted, by the name of its content.
    assert {e["valueFrom"]["configMapKeyRef"]["name"] for e in container["env"]} == {volume["configMap"]["name"]}
    assert data["PARAVEC_TARGET"] == f"dns:///{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    (mount,) = container["volumeMounts"]
    assert data["FAQ_FILE"] == f"{mount['mountPath']}/{volume['configMap']['items'][0]['path']}"
    assert json.loads(data["faq.json"])["entries"]
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


def test_another_list_of_questions_rolls_the_example(tmp_path: Path) -> None:
    """A component with another file, after the example's own, changes the pods, as the page of the example says."""
    mine, plain = tmp_path / "faq", tmp_path / "plain"
    for folder in (mine, plain):
        folder.mkdir()
    shown = (ROOT / "docs/how-to/run-the-faq-example.md").read_text().split("```yaml\n")
    (mine / "kustomization.yaml").write_text(shown[1].partition("```")[0])
    (mine / "faq.json").write_text('{"entries": [{"question": "Q?", "answer": "A."}]}')
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
    assert data["faq.json"] == (mine / "faq.json").read_text()
    assert data["PARAVEC_TARGET"]
