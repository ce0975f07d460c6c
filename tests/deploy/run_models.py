"""Models on the way to the server, for real: rolled, pruned, mounted, trained in a build, signed."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paravec_client import EmbeddingClient, InferenceOptions
from paravec_model.artifact import Artifact

from ..signing import Signer
from .containers import answers
from .manifests import ROOT
from .pods import Environment, make_images, podman
from .stores import entry_of


def test_production_rolls_forward_and_back(
    environment: Callable[..., Environment], models: dict[str, Artifact]
) -> None:
    """One line changes the model. The one before stays in the store, so going back copies nothing."""
    production = environment("production")
    production.apply()
    answers(production, models["1.0.0"])
    production.roll("1.1.0")
    answers(production, models["1.1.0"])
    assert len(production.run("ls", "/models")[1].split()) == 2
    production.roll("1.0.0")
    answers(production, models["1.0.0"])
    assert len(production.run("ls", "/models")[1].split()) == 2


def test_prune_removes_the_model_that_no_pod_uses(
    environment: Callable[..., Environment], models: dict[str, Artifact]
) -> None:
    """A pod rolls back to an old model while the CronJob's container runs over and over: it serves that model, and
    the other one goes. What a pod uses stays, however old, until the pod's sidecar is stopped."""
    production = environment("production")
    for tag in ("1.0.0", "1.1.0"):
        production.roll(tag)
        answers(production, models[tag])
    old, newer = (entry_of(models[tag].path) for tag in ("1.0.0", "1.1.0"))
    store = production.volumes / "paravec-models"
    assert f"{newer}: in use by {production.pod}" in production.run_job()

    def turn_back(*paths: Path) -> None:
        for path in paths:
            os.utime(path, (time.time() - 20 * 86400,) * 2)

    turn_back(store / old, store / ".leases/.since")
    done, said = threading.Event(), [""]

    def prune() -> None:
        while not done.is_set():
            said.append(production.run_job())

    thread = threading.Thread(target=prune)
    thread.start()
    try:
        production.roll("1.0.0")
        answers(production, models["1.0.0"])
    finally:
        done.set()
        thread.join()
    turn_back(store / old, store / newer)
    last = production.run_job()
    assert f"{old}: in use by {production.pod}" in last
    assert f"{newer}: removed, " in last
    answers(production, models["1.0.0"])
    podman("stop", f"{production.pod}-hold-lease")
    assert production.container("hold-lease")["State"]["ExitCode"] == 0
    turn_back(store / old)
    assert f"{old}: removed, " in production.run_job()


def test_the_model_image_serves_as_a_volume(
    environment: Callable[..., Environment], models: dict[str, Artifact]
) -> None:
    """No init container and no copy, the same vectors, and another model by the same line."""
    mounting = environment("production-image-volume")
    mounting.apply()
    answers(mounting, models["1.0.0"])
    assert mounting.run("sh", "-c", ": > /models/x")[0] != 0
    mounting.roll("1.1.0")
    answers(mounting, models["1.1.0"])


def test_the_italian_model_is_trained_in_a_build_stage(
    models: dict[str, Artifact], environment: Callable[..., Environment]
) -> None:
    """`make images` trains and packs it, staging serves it, and related Italian texts are near each other."""
    italian = "doc2vec-model-it"
    make_images(f"build/models/{italian}", "1.0.0", italian, "model-image")
    staging = environment("staging")
    file = staging.path / "kustomization.yaml"
    file.write_text(file.read_text().replace("name: doc2vec-model\n", f"name: doc2vec-model\n    newName: {italian}\n"))
    staging.apply()
    artifact = Artifact.open(ROOT / "build/models" / italian)
    answers(staging, artifact)
    labels = json.loads(podman("image", "inspect", f"localhost/{italian}:1.0.0"))[0]["Labels"]
    assert labels["paravec.model.name"] == italian
    assert labels["paravec.model.digest"] == artifact.manifest.digest
    asked = "come si stampa un documento in bianco e nero?"
    near, far = "opzioni di stampa per documenti", "la funzione restituisce l'inversa di una matrice"
    with EmbeddingClient(staging.target) as client:
        vectors = client.embed([asked, near, far], InferenceOptions(normalize=True))
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


@pytest.mark.parametrize("overlay", ["development", "production-image-volume"])
def test_only_a_signed_model_is_served(
    overlay: str,
    environment: Callable[..., Environment],
    models: dict[str, Artifact],
    signed: Signer,
) -> None:
    """With the component `signature`, a signed model is served; one by another key, and one that is not signed, are one
    line."""
    checked = environment(overlay)
    shutil.copy(signed.key, checked.path / "signer.pub")
    checked.add("signature")
    with (checked.path / "kustomization.yaml").open("a") as file:
        file.write("configMapGenerator:\n  - {name: paravec-signer, files: [signer.pub]}\n")
    checked.roll("signed")
    answers(checked, models["1.0.0"])
    for tag, problem in (("1.0.0", "the artifact is not signed"), ("forged", "was not made by the key in /run/signer")):
        checked.roll(tag)
        assert checked.wait_for_exit("server") == 1, checked.log()
        (said,) = (line for line in checked.log().splitlines() if line.startswith("paravec-server: "))
        assert "model.sig" in said
        assert problem in said
