"""The manifests, as `kubectl kustomize` renders them."""

import shutil
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from paravec_model import __version__

from .manifests import (
    CANARY,
    KUSTOMIZE,
    OVERLAYS,
    SUPPORTED,
    Objects,
    composed,
    containers,
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


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    """The name of an overlay."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def objects(overlay: str) -> Objects:
    """What it renders to."""
    return render(KUSTOMIZE / "overlays" / overlay)


def test_an_overlay_is_valid_for_each_supported_kubernetes(overlay: str, objects: Objects) -> None:
    """Every object passes the strict schema of the oldest and the newest Kubernetes that the overlay supports."""
    for version in (versions(overlay)[0], versions(overlay)[-1]):
        validate(objects, version)


def test_an_image_volume_fails_the_schema_of_older_kubernetes() -> None:
    """The schema before image volumes rejects them, so validation does notice unknown fields."""
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


def test_every_overlay_is_tested() -> None:
    """Each folder of overlays is one that the other tests render."""
    assert sorted([*OVERLAYS, CANARY]) == sorted(path.name for path in (KUSTOMIZE / "overlays").iterdir())


def test_the_base_is_complete_without_an_overlay() -> None:
    """The base alone renders and validates."""
    objects = render(KUSTOMIZE / "base")
    validate(objects, SUPPORTED[0])
    assert {found["kind"] for found in objects} == {
        "ConfigMap", "Deployment", "PodDisruptionBudget", "Service", "ServiceAccount",
    }  # fmt: skip


def test_overlays_differ_only_in_volume_replicas_and_extra_objects() -> None:
    """Overlays differ in the model's volume, the replicas and the objects beyond the base, and in nothing else."""
    base = {found["kind"] for found in render(KUSTOMIZE / "base")}
    table = {}
    for name in OVERLAYS:
        objects = render(KUSTOMIZE / "overlays" / name)
        table[name] = (volume_kind(objects), replicas(objects), {found["kind"] for found in objects} - base)
    scaled = {"HorizontalPodAutoscaler", "NetworkPolicy"}
    assert table == {
        "development": ("emptyDir", "1", set()),
        "staging": ("memory", "1", set()),
        "production": ("persistent", "3 to 10", scaled | {"PersistentVolumeClaim", "CronJob"}),
        "production-volume-per-pod": ("per pod", "3 to 10", scaled),
        "production-image-volume": ("image", "3 to 10", scaled),
    }


def test_every_mount_has_a_volume_and_every_volume_a_mount(objects: Objects) -> None:
    """Every mount names an existing volume, and every volume is mounted."""
    mounted = {mount["name"] for container in containers(objects) for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod(objects)["volumes"]}


def test_the_init_container_links_what_the_server_serves(overlay: str, objects: Objects) -> None:
    """The init container's link is the server's model path, and both mount the store at the same path."""
    (server,) = pod(objects)["containers"]
    mounts = {mount["name"]: mount for mount in server["volumeMounts"]}
    assert all(mount["readOnly"] for mount in mounts.values())
    model = settings(objects)["PARAVEC_MODEL"]
    if overlay == "production-image-volume":
        assert not pod(objects).get("initContainers")
        assert model == mounts["model-store"]["mountPath"] + "/usr/src/d2v_model"
        return
    init, *sidecars = pod(objects)["initContainers"]
    _, store, link = init["args"]
    assert link == model
    places = {mount["name"]: mount["mountPath"] for mount in init["volumeMounts"]}
    assert places == {name: mount["mountPath"] for name, mount in mounts.items()}
    assert places["model-store"] == store
    assert places["model-link"] == str(Path(link).parent)
    assert len(sidecars) == (volume_kind(objects) == "persistent")
    for sidecar in sidecars:
        assert sidecar["args"] == ["--hold-lease", store, link]
        assert sidecar["restartPolicy"] == "Always"
        assert sidecar["image"] == init["image"]
        mounted = {mount["mountPath"]: mount.get("readOnly", False) for mount in sidecar["volumeMounts"]}
        assert mounted == {store: False, str(Path(link).parent): True}


def test_what_prunes_the_store_is_bound_as_the_server_is() -> None:
    """The CronJob prunes the claim that the pods use, as their user, which owns the models, and may do no more."""
    objects = render(KUSTOMIZE / "overlays/production")
    run = only(objects, "CronJob")["spec"]["jobTemplate"]["spec"]
    # One that hangs does not hold back the next for ever.
    assert 0 < run["activeDeadlineSeconds"] < 86400
    job = run["template"]["spec"]
    (prune,), server = job["containers"], pod(objects)
    init = server["initContainers"][0]
    assert prune["args"][:2] == ["--prune", init["args"][1]]
    assert prune["image"] == init["image"]
    assert prune["securityContext"] == init["securityContext"]
    for key in ("serviceAccountName", "automountServiceAccountToken"):
        assert job[key] == server[key]
    assert job["securityContext"] == server["securityContext"]
    (volume,) = job["volumes"]
    assert volume in server["volumes"]
    assert [mount["mountPath"] for mount in prune["volumeMounts"]] == [init["args"][1]]
    for kind in ("requests", "limits"):
        assert prune["resources"][kind].keys() == {"cpu", "memory", "ephemeral-storage"}


def test_probes_use_a_declared_port_and_the_right_path(objects: Objects) -> None:
    """Startup and readiness probes ask for readiness and the liveness probe for liveness, on a declared port."""
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


def test_the_grace_period_covers_prestop_and_drain(objects: Objects) -> None:
    """terminationGracePeriodSeconds is longer than the preStop hook and the drain together."""
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
            assert container["resources"][kind].keys() == {"cpu", "memory", "ephemeral-storage"}


def test_threads_follow_the_cpu_limit_or_else_the_request(tmp_path: Path) -> None:
    """The server reads its limit. The request is passed for pods without a limit, and a setting of threads still
    counts."""
    (server,) = pod(render(KUSTOMIZE / "base"))["containers"]
    (variable,) = server["env"]
    assert variable["name"] == "PARAVEC_CPU_REQUEST"
    assert variable["valueFrom"] == {"resourceFieldRef": {"containerName": "server", "resource": "requests.cpu"}}
    more = (
        "patches:\n  - target: {kind: Deployment, name: paravec-server}\n    patch: |-\n"
        "      - {op: remove, path: /spec/template/spec/containers/0/resources/limits/cpu}\n"
        "configMapGenerator:\n  - {name: paravec-server, behavior: merge, literals: [PARAVEC_THREADS=8]}\n"
    )
    objects = render(composed(tmp_path, more=more))
    (unlimited,) = pod(objects)["containers"]
    assert "cpu" not in unlimited["resources"]["limits"]
    assert unlimited["env"] == [variable]
    assert settings(objects)["PARAVEC_THREADS"] == "8"


def test_no_image_is_latest(objects: Objects) -> None:
    """No image has the tag `latest`, and the server's tag is this version."""
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


def test_another_model_is_one_changed_line(overlay: str, objects: Objects, tmp_path: Path) -> None:
    """Changing the model's tag in an overlay changes the model's image, wherever it is, and nothing else."""
    path = copied(tmp_path) / "overlays" / overlay
    roll(path, "1.1.0")
    ((old, new),) = set(changed(objects, render(path)))
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
