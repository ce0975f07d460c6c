"""The images of a commit, built from nothing on two machines that differ: make reproducible

Needs root on Debian; what else it takes is installed by lab/env.sh.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from paravec_model.artifact import Artifact

from .manifests import ROOT
from .pods import LAB, need_lab, podman

IMAGES = ("server", "model", "faq")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, artifact: Artifact) -> Iterator[list[str]]:
    """Suffixes of two builds of HEAD, in checkouts with other paths and permissions, one of them on one CPU."""
    need_lab()
    for name, umask, cpus in (("one", "022", os.cpu_count() or 1), ("two", "077", 1)):
        build(tmp_path_factory.mktemp(name) / name, name, artifact, umask, cpus)
    yield ["one", "two"]
    podman("rmi", "--force", *(image for image in listed() if "/reproducible-" in image))


def build(checkout: Path, name: str, artifact: Artifact, umask: str, cpus: int) -> None:
    """Build the three images of HEAD without a cache, under names that end in `name`."""
    variables = " ".join(
        (
            f"BUILDER={LAB}/builder BUILD_FLAGS=--no-cache ARTIFACT={artifact.path} MODEL_TAG=1",
            f"SERVER_IMAGE=reproducible-server-{name} MODEL_IMAGE=reproducible-model-{name}",
            f"FAQ_IMAGE=reproducible-faq-{name}",
        )
    )
    script = f"""set -e
umask {umask}
git clone --quiet {ROOT} {checkout}
cd {checkout}
PYTHONPATH=model taskset --cpu-list 0-{cpus - 1} make --old-file=.venv/.ready RUN={ROOT}/.venv/bin/python \\
  server-image model-image faq-image {variables}
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def contents(image: str) -> dict[str, str]:
    """Permissions and owner, or the SHA-256, of each file of an image: what differs, if digests do."""
    program = (
        "find / -xdev \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o -exec stat -c '%n %A %u %g %Y' {} + ;"
        "find / -xdev \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o -type f -exec sha256sum {} +"
    )
    lines = podman("run", "--rm", "--user=0", "--network=none", "--entrypoint=sh", image, "-c", program).splitlines()
    return dict.fromkeys(lines, image)


@pytest.mark.parametrize("kind", IMAGES)
def test_a_commit_has_one_digest(built: list[str], kind: str) -> None:
    """Both builds give the same image, to its configuration and the time of each file."""
    images = [next(line for line in listed() if f"reproducible-{kind}-{name}:" in line) for name in built]
    digests = {podman("image", "inspect", "--format={{.Id}} {{.Digest}}", image) for image in images}
    if len(digests) != 1:
        one, two = map(contents, images)
        pytest.fail("\n".join(["the images differ in", *sorted(set(one) ^ set(two))[:40]]))


def listed() -> list[str]:
    """The names of all images."""
    return podman("images", "--format={{.Repository}}:{{.Tag}}").splitlines()
