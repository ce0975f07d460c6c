"""Leases of pods on the models of a store: install-model takes one, and its sidecar holds it."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..servers import until
from .stores import Install, entry_of, lease, variant

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def hold(start: Start, store: Path, link: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start the sidecar of a pod, which renews its lease every second."""
    started: list[subprocess.Popen[str]] = []

    def hold(pod: str, *, store: Path = store, link: Path = link) -> "subprocess.Popen[str]":
        started.append(start("--hold-lease", store, link, "1", variables={"POD_NAME": pod}))
        return started[-1]

    yield hold
    for one in started:
        one.kill()
        one.communicate()


def test_a_pod_takes_a_lease(install: Install, source: Path, store: Path, link: Path) -> None:
    """The lease has the pod's name and names the entry; the host's name is the pod's, unless a variable names it."""
    install(source, store, link)
    assert lease(store, os.uname().nodename).read_text() == f"{entry_of(source)}\n"
    install(source, store, link, variables={"POD_NAME": "server-1"})
    assert lease(store, "server-1").read_text() == f"{entry_of(source)}\n"


def test_another_model_moves_the_lease(install: Install, source: Path, store: Path, link: Path, tmp_path: Path) -> None:
    """A pod has one lease, for the model that it serves."""
    other = variant(source, tmp_path / "other", version="2")
    for model in (source, other):
        install(model, store, link, variables={"POD_NAME": "server-1"})
    assert [path.name for path in (store / ".leases").iterdir()] == ["server-1"]
    assert lease(store, "server-1").read_text() == f"{entry_of(other)}\n"


def test_a_pod_that_fails_has_no_lease(install: Install, source: Path, store: Path, link: Path) -> None:
    """A model that cannot be installed is not in use."""
    (source / "syn1neg.npy").unlink()
    assert install(source, store, link, variables={"POD_NAME": "server-1"}).returncode == 1
    assert list((store / ".leases").iterdir()) == []


def test_the_sidecar_renews_the_lease_until_it_is_told_to_stop(
    install: Install, hold: Start, source: Path, store: Path, link: Path
) -> None:
    """It makes the lease and the entry recent, over and over; SIGTERM ends it at once, and the lease."""
    install(source, store, link, variables={"POD_NAME": "server-1"})
    sidecar = hold("server-1")
    for _ in range(2):
        for path in (lease(store, "server-1"), store / entry_of(source)):
            os.utime(path, (1000, 1000))
        until(lambda: lease(store, "server-1").stat().st_mtime > 1000)
        until(lambda: (store / entry_of(source)).stat().st_mtime > 1000)
    sidecar.terminate()
    assert sidecar.communicate(timeout=10) == ("", "")
    assert sidecar.returncode == 0
    assert list((store / ".leases").iterdir()) == []
    # Also between two renewals, and while it renews.
    for step in range(5):
        install(source, store, link, variables={"POD_NAME": "server-1"})
        sidecar = hold("server-1")
        os.utime(lease(store, "server-1"), (1000, 1000))
        until(lambda: lease(store, "server-1").stat().st_mtime > 1000)
        time.sleep(0.95 + step / 50)
        sidecar.terminate()
        assert sidecar.communicate(timeout=10) == ("", "")
        assert sidecar.returncode == 0
        assert list((store / ".leases").iterdir()) == []
    assert {path.name for path in store.iterdir()} == {entry_of(source), ".leases", ".verified"}


def test_the_sidecar_takes_a_lost_lease_again(
    install: Install, hold: Start, source: Path, store: Path, link: Path
) -> None:
    """A lease that somebody deleted is made again, from what the link names."""
    install(source, store, link, variables={"POD_NAME": "server-1"})
    hold("server-1")
    shutil.rmtree(store / ".leases")
    until(lambda: lease(store, "server-1").is_file())
    assert lease(store, "server-1").read_text() == f"{entry_of(source)}\n"


def test_the_sidecar_goes_on_where_it_cannot_write(
    install: Install, hold: Start, source: Path, mounted: Callable[..., Path], link: Path
) -> None:
    """In a read-only store it says once that --prune does not see the pod, and lives on."""
    store = mounted("size=64m")
    install(source, store, link, variables={"POD_NAME": "server-1"})
    subprocess.run(["mount", "-o", "remount,ro", store], check=True)
    sidecar = hold("server-1", store=store)
    assert sidecar.stderr is not None
    assert "has no lease, and --prune may remove it: Read-only file system" in sidecar.stderr.readline()
    time.sleep(1.5)
    assert sidecar.poll() is None
    sidecar.send_signal(signal.SIGTERM)
    assert sidecar.communicate(timeout=10) == ("", "")


def test_the_sidecar_says_that_its_model_is_gone(
    install: Install, hold: Start, source: Path, store: Path, link: Path
) -> None:
    """A model that somebody deleted is a line that says what to do."""
    install(source, store, link)
    shutil.rmtree(store / entry_of(source))
    sidecar = hold("server-1")
    assert sidecar.stderr is not None
    assert "is gone from the store; restart this pod" in sidecar.stderr.readline()


def test_a_sidecar_without_a_link_is_one_line(install: Install, store: Path, link: Path) -> None:
    """Without a model there is nothing to hold."""
    result = install("--hold-lease", store, link)
    assert result.returncode == 1
    assert (
        result.stderr
        == f"install-model: {link}: is no link to a model; it is made by install-model SOURCE STORE LINK\n"
    )
