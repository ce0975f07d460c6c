"""Pods that come to use a model while it is being removed."""

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ..servers import until
from .stores import SCRIPT, Install, Store, entry_of, held, lease, same, variant

Wrap = Callable[[str, str], None]
DAY = 86400


@pytest.fixture
def idle(source: Path, store: Path, install: Install, tmp_path: Path) -> Store:
    """A store with a model that no pod has used for a month."""
    made = Store(store, install)
    install(source, store, tmp_path / "old/model", variables={"POD_NAME": "old"})
    made.watched(365 * DAY)
    lease(store, "old").unlink()
    made.idle(entry_of(source), 30 * DAY)
    return made


def test_a_lease_taken_after_the_look_puts_the_model_back(idle: Store, source: Path, wrapped: Wrap) -> None:
    """A pod takes its lease after prune has looked and before it renames: the model goes back."""
    entry = entry_of(source)
    wrapped("mv", f'case $2 in */.prune-*) echo {entry} >"{lease(idle.path, "late")}" ;; esac; mv "$@"')
    assert idle.prune("14d") == [f"{entry}: put back, late came to use it"]
    assert same(source, idle.path / entry)
    assert held(idle.path) == [entry]


def test_a_pod_that_finds_no_model_copies_it(
    idle: Store, install: Install, source: Path, wrapped: Wrap, tmp_path: Path
) -> None:
    """A whole installation between prune's renaming and its second look is kept, and the old copy goes."""
    entry, link = entry_of(source), tmp_path / "late/model"
    command = f'env POD_NAME=late dash "{SCRIPT}" "{source}" "{idle.path}" "{link}" >/dev/null'
    wrapped("mv", f'mv "$@" || exit; case $2 in */.prune-*) {command} ;; esac')
    inode = (idle.path / entry).stat().st_ino
    (said,) = idle.prune("14d")
    assert said.startswith(f"{entry}: removed")
    assert (idle.path / entry).stat().st_ino != inode
    assert same(source, link)
    assert held(idle.path) == [entry]


def test_prune_after_the_look_of_a_pod_sees_its_lease(
    idle: Store, install: Install, source: Path, wrapped: Wrap, tmp_path: Path
) -> None:
    """A whole prune right after a pod has found the model leaves it: the pod's lease was there before its look."""
    link, said = tmp_path / "late/model", tmp_path / "said"
    command = f'dash "{SCRIPT}" --prune "{idle.path}" --older-than 14d >"{said}"'
    wrapped("cat", f'cat "$@" || exit; case $1 in */.verified/*) {command} ;; esac')
    done = install(source, idle.path, link, variables={"POD_NAME": "late"})
    assert (done.returncode, done.stderr) == (0, "")
    assert said.read_text() == f"install-model: {entry_of(source)}: in use by late\n"
    assert same(source, link)


def test_pods_roll_back_while_two_prune(
    start: Callable[..., "subprocess.Popen[str]"], install: Install, source: Path, store: Path, tmp_path: Path
) -> None:
    """Two models, four pods that go back and forth, and two prunes without a break: each pod's model is whole."""
    models = [variant(source, tmp_path / str(version), version=str(version), payload=2**20) for version in range(2)]
    done = threading.Event()
    removed: list[str] = []
    problems: list[str] = []

    def prune() -> None:
        while not done.is_set():
            out, err = start("--prune", store, "--older-than", "0m").communicate(timeout=60)
            removed.extend(line for line in out.splitlines() if ": removed" in line)
            problems.extend(err.splitlines())

    def roll(pod: str) -> None:
        link = tmp_path / pod / "model"
        for turn in range(6):
            model = models[turn % 2]
            ended = install(model, store, link, variables={"POD_NAME": pod})
            problems.extend(ended.stderr.splitlines())
            # It may be away for a moment, until prune has seen the lease.
            until(lambda: same(model, link), 20)  # noqa: B023  called at once
            lease(store, pod).unlink()

    threads = [threading.Thread(target=prune) for _ in range(2)]
    pods = [threading.Thread(target=roll, args=(f"server-{number}",)) for number in range(4)]
    for thread in threads + pods:
        thread.start()
    for thread in pods:
        thread.join()
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert removed
    assert [name for name in held(store) if name.startswith(".")] == []


def test_a_prune_that_is_killed_leaves_whole_models(
    start: Callable[..., "subprocess.Popen[str]"], idle: Store, source: Path, install: Install, tmp_path: Path
) -> None:
    """After a SIGKILL at any moment a model in the store is whole, and the next run finishes the work."""
    entry = entry_of(source)
    for step in range(12):
        pod = start("--prune", idle.path, "--older-than", "14d")
        try:
            pod.wait(0.004 * step)
        except subprocess.TimeoutExpired:
            pod.kill()
        pod.communicate()
        assert not (idle.path / entry).exists() or same(source, idle.path / entry)
    idle.prune("14d")
    assert held(idle.path) == []
    assert list((idle.path / ".verified").iterdir()) == []
    assert install(source, idle.path, tmp_path / "again/model").returncode == 0
