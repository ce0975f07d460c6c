"""install-model in a shell, with a store and a model to install."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from paravec_model.artifact import Artifact

from .containers import development, environment, models, signed  # noqa: F401  fixtures
from .stores import SCRIPT, Install


@pytest.fixture(scope="session", params=["dash", "busybox"])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, str]]:
    """A shell's command line, and the environment that goes with it."""
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"{request.param} is not installed")
    if request.param == "dash":
        return [found], {"PATH": "/usr/bin:/bin"}
    applets = tmp_path_factory.mktemp("applets")
    for name in subprocess.run([found, "--list"], capture_output=True, text=True, check=True).stdout.split():
        (applets / name).symlink_to(found)
    return [found, "sh"], {"PATH": str(applets)}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty store, whose path has a space."""
    path = tmp_path / "the store"
    path.mkdir()
    return path


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """Where the link to the model is to be."""
    return tmp_path / "run" / "model"


@pytest.fixture
def start(shell: tuple[list[str], dict[str, str]]) -> Callable[..., "subprocess.Popen[str]"]:
    """Start install-model, in a process group of its own."""

    def start(
        *arguments: Path | str, variables: Mapping[str, str] | None = None, **options: object
    ) -> "subprocess.Popen[str]":
        command, base = shell
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            [*command, str(SCRIPT), *map(str, arguments)],
            env=base | dict(variables or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )

    return start


@pytest.fixture
def install(start: Callable[..., "subprocess.Popen[str]"]) -> Install:
    """Run install-model to its end."""

    def install(*arguments: Path | str, **options: object) -> "subprocess.CompletedProcess[str]":
        process = start(*arguments, **options)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    return install


@pytest.fixture
def wrapped(shell: tuple[list[str], dict[str, str]], tmp_path: Path) -> Iterator[Callable[[str, str], None]]:
    """Put a script in the place of a command, which it may call: `wrapped("mv", 'mv "$@"')`."""
    command, base = shell
    if "busybox" in command[0]:
        pytest.skip("busybox runs its own commands, whatever is in PATH")

    def wrap(name: str, script: str) -> None:
        folder = tmp_path / "wrapped"
        folder.mkdir()
        (folder / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        (folder / name).chmod(0o755)
        base["PATH"] = f"{folder}:/usr/bin:/bin"

    before = base["PATH"]
    yield wrap
    base["PATH"] = before


@pytest.fixture
def source(artifact: Artifact, tmp_path: Path) -> Path:
    """A copy of a real artifact, as it lies in the model's image."""
    path = tmp_path / "usr src" / "d2v_model"
    shutil.copytree(artifact.path, path)
    return path


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount a tmpfs, with options; it is gone at the end of the test."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    places: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"mount{len(places)}"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"mount is not permitted here: {done.stderr.decode().strip()}")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", place], check=True)
