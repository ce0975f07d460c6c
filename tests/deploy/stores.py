"""Helpers for the tests of install-model: models to install, and checks of the store."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from paravec_model.artifact import read_manifest
from paravec_model.artifact.manifest import FileEntry
from paravec_model.artifact.writer import file_sha256

SCRIPT = Path(__file__).parents[2] / "model/image/install-model"


Install = Callable[..., "subprocess.CompletedProcess[str]"]


def variant(source: Path, target: Path, *, payload: int = 0, **changes: str) -> Path:
    """Another model beside `source`: other fields in the manifest, and `payload` random bytes in one file more."""
    shutil.copytree(source, target)
    manifest = read_manifest(source)
    files = dict(manifest.files)
    if payload:
        (target / "payload.npy").write_bytes(random.Random(1).randbytes(payload))
        files["payload.npy"] = FileEntry(payload, file_sha256(target / "payload.npy"))
    manifest = replace(manifest, files=files, digest="", **changes)  # type: ignore[arg-type]
    (target / "manifest.json").write_text(manifest.to_json())
    return target


def entry_of(source: Path) -> str:
    """The name of a model's folder in the store, if its name and version are plain."""
    manifest = read_manifest(source)
    return f"{manifest.name}-{manifest.version}-{manifest.digest.removeprefix('sha256:')[:12]}"


def held(store: Path) -> list[str]:
    """What a store holds, but for its leases and markers."""
    return sorted(path.name for path in store.iterdir() if path.name not in (".leases", ".verified"))


def lease(store: Path, pod: str) -> Path:
    """The file that is a pod's lease."""
    return store / ".leases" / pod


class Store:
    """A store, whose times a test turns back."""

    def __init__(self, path: Path, install: Install) -> None:
        self.path, self._install = path, install

    def prune(self, age: str, *more: str) -> list[str]:
        """What --prune says, without the name of the script; it has to succeed."""
        done = self._install("--prune", self.path, "--older-than", age, *more)
        assert (done.returncode, done.stderr) == (0, "")
        return [line.removeprefix("install-model: ") for line in done.stdout.splitlines()]

    def idle(self, entry: str, seconds: float) -> None:
        """No pod has used the entry since."""
        _turn_back(self.path / entry, seconds)

    def renewed(self, pod: str, seconds: float) -> None:
        """The pod has renewed its lease last at this time."""
        _turn_back(lease(self.path, pod), seconds)

    def watched(self, seconds: float) -> None:
        """The first prune was then."""
        since = self.path / ".leases/.since"
        since.touch()
        _turn_back(since, seconds)


def _turn_back(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def open_to_other_users(folder: Path) -> None:
    """Let other users enter a test's folder; the test is skipped without root, which changing the user takes."""
    if os.geteuid() != 0:
        pytest.skip("changing the user takes root")
    for path in (folder, *folder.parents):
        if path.stat().st_mode & 0o005 != 0o005:
            path.chmod(path.stat().st_mode | 0o005)
        if path == Path("/tmp"):
            break


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def same(one: Path, other: Path) -> bool:
    """Whether all files in the manifest at `one` have the same bytes in both folders."""
    names = ["manifest.json", *read_manifest(one).files]
    return all((other / name).is_file() and (one / name).read_bytes() == (other / name).read_bytes() for name in names)


def one_line(result: "subprocess.CompletedProcess[str]") -> str:
    """The single line on standard error of a run that failed."""
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("install-model: ")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr
