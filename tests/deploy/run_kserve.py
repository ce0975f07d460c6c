"""The model image as KServe uses it, with podman and KServe's own storage initializer."""

import os
import subprocess
from pathlib import Path

import pytest

from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact, verify

from ..environments import environment as environment_of
from ..registries import registry
from .containers import TEXTS
from .manifests import KUSTOMIZE, only, render
from .pods import LOCKED, free_port, podman


@pytest.mark.parametrize("user", [(), ("--user=1010",)], ids=["user of the images", "uidModelcar"])
def test_kserve_serves_the_model_image_as_modelcar(models: dict[str, Artifact], user: tuple[str, ...]) -> None:
    """With oci://, a link that the model's container makes to its own root leads the server to /models."""
    pod, port, volume = "paravec-modelcar", free_port(), "paravec-modelcar"
    (container,) = only(render(KUSTOMIZE / "examples/kserve"), "ServingRuntime")["spec"]["containers"]
    variables = [f"--env={one['name']}={one['value']}" for one in container["env"] if "value" in one]
    image = f"localhost/{container['image']}"
    podman("pod", "rm", "--force", "--ignore", pod)
    podman("volume", "rm", "--force", volume)
    podman("pod", "create", f"--name={pod}", "--share=net,ipc,pid", f"--publish=127.0.0.1:{port}:50051")
    started = ("run", "--detach", f"--pod={pod}", "--pull=never", *user)
    # KServe starts the server first, and gives the model's image arguments, not a command.
    mounts = (f"--volume={volume}:/mnt:rw,U",)
    try:
        command = ("--entrypoint=sh", f"--name={pod}-server", *LOCKED, *variables, *mounts)
        podman(*started, *command, image, "-c", *container["args"])
        root = "/proc/$$/root"
        linked = f"ln -sf {root}/models /mnt/models && sleep infinity"
        podman(*started, f"--name={pod}-model", *mounts, "localhost/doc2vec-model:1.0.0", "sh", "-c", linked)
        with EmbeddingClient(f"127.0.0.1:{port}") as client:
            client.wait_until_ready(60)
            assert client.model().digest == models["1.0.0"].manifest.digest
            assert client.embed(TEXTS).shape == (len(TEXTS), models["1.0.0"].manifest.algorithm.vector_size)
        assert podman("exec", f"{pod}-server", "readlink", "/mnt/models").startswith("/proc/")
    finally:
        podman("pod", "rm", "--force", "--time=5", pod)
        podman("volume", "rm", "--force", volume)


def test_kserve_fetches_the_model_image(models: dict[str, Artifact], tmp_path: Path) -> None:
    """With oci+fetch://, KServe's own storage initializer pulls the image and extracts a model that is whole."""
    python = environment_of("kserve") / "bin/python"
    program = "import sys; from kserve_storage import Storage; Storage.download(*sys.argv[1:])"
    with registry(tmp_path) as address:
        reference = f"{address}/models/test:1.0.0"
        podman("push", "--tls-verify=false", "localhost/doc2vec-model:1.0.0", f"docker://{reference}")
        command = [str(python), "-c", program, f"oci://{reference}", str(tmp_path / "fetched")]
        subprocess.run(command, env=os.environ | {"KSERVE_OCI_INSECURE_REGISTRY": "true"}, check=True)
    assert verify(tmp_path / "fetched") == []
    assert Artifact.open(tmp_path / "fetched").manifest == models["1.0.0"].manifest


def test_the_models_image_holds_the_model_once(models: dict[str, Artifact]) -> None:
    """/models is there for KServe, whose oci+native:// mounts nothing else, and takes no room."""
    ran = ("run", "--rm", "--pull=never", "localhost/doc2vec-model:1.0.0", "stat", "-c", "%i %h")
    names = sorted(models["1.0.0"].manifest.files)
    one, other = (podman(*ran, *(f"{place}/{name}" for name in names)) for place in ("/models", "/usr/src/d2v_model"))
    assert one == other
    assert {line.split()[1] for line in one.splitlines()} == {"2"}
