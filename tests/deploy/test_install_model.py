"""install-model, run as real processes under dash and under busybox with nothing but its applets."""

import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paravec_model.artifact import read_manifest, verify

from .stores import Install, entry_of, held, one_line, open_to_other_users, same, variant


def test_a_model_is_copied_and_linked(install: Install, source: Path, store: Path, link: Path) -> None:
    """The store then holds the model alone, sound by paravec-model's own check, and the link leads to it."""
    result = install(source, store, link)
    assert (result.returncode, result.stderr) == (0, "")
    assert entry_of(source).rpartition("-")[2] in result.stdout
    assert held(store) == [entry_of(source)]
    assert link.readlink() == store / entry_of(source)
    assert [p.name for p in link.parent.iterdir()] == ["model"]
    assert verify(link) == []


def test_a_stored_model_is_not_read_again(install: Install, source: Path, store: Path, link: Path) -> None:
    """With the model already in the store, no array is read from the image or from the store."""
    install(source, store, link)
    before = {p.name: p.stat() for p in (store / entry_of(source)).iterdir()}
    (source / "syn1neg.npy").unlink()
    other = link.parent / "second"
    result = install(source, store, other)
    assert (result.returncode, result.stderr) == (0, "")
    assert other.readlink() == store / entry_of(source)
    after = {p.name: p.stat() for p in (store / entry_of(source)).iterdir()}
    assert {n: s.st_ino for n, s in before.items()} == {n: s.st_ino for n, s in after.items()}


def test_twenty_pods_at_once_share_one_copy(
    start: Callable[..., "subprocess.Popen[str]"], source: Path, store: Path, tmp_path: Path
) -> None:
    """Twenty pods that start together all succeed, leave one copy, and at every moment the link shows a whole model."""
    big = variant(source, tmp_path / "big", payload=8 * 2**20)
    sizes = {name: entry.size for name, entry in read_manifest(big).files.items()}
    links = [tmp_path / "runs" / str(i) / "model" for i in range(20)]
    incomplete: list[str] = []
    seen = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal seen
        while not done.is_set():
            for link in links:
                if link.is_symlink():
                    found = {name: (link / name).stat().st_size for name in sizes}
                    seen += 1
                    if found != sizes:
                        incomplete.append(str(found))

    watcher = threading.Thread(target=watch)
    watcher.start()
    pods = [start(big, store, link) for link in links]
    ends = [pod.communicate(timeout=120)[1] for pod in pods]
    done.set()
    watcher.join()
    assert [pod.returncode for pod in pods] == [0] * 20, ends
    assert seen
    assert incomplete == []
    assert held(store) == [entry_of(big)]
    assert all(same(big, link) for link in links)


def test_a_kill_at_any_moment_leaves_no_partial_model(
    start: Callable[..., "subprocess.Popen[str]"], install: Install, source: Path, store: Path, tmp_path: Path
) -> None:
    """After a SIGKILL at any moment the model's folder is whole or absent, and the next run removes the leftovers."""
    big = variant(source, tmp_path / "big", payload=16 * 2**20)
    moments = random.Random(7)
    for i in range(15):
        pod = start(big, store, tmp_path / "run" / "model")
        time.sleep(moments.uniform(0, 0.15))
        # Sometimes the shell alone, whose cp then goes on as an orphan.
        os.killpg(pod.pid, signal.SIGKILL) if i % 3 else pod.kill()
        pod.communicate(timeout=60)
        final = store / entry_of(big)
        assert not final.exists() or same(big, final)
        if i % 5 == 4:
            shutil.rmtree(final, ignore_errors=True)
    assert install(big, store, tmp_path / "run" / "model").returncode == 0
    assert same(big, tmp_path / "run" / "model")
    install(big, store, tmp_path / "run" / "model")
    assert held(store) == [entry_of(big)]


def test_sigterm_leaves_an_empty_store(
    start: Callable[..., "subprocess.Popen[str]"], source: Path, store: Path, tmp_path: Path
) -> None:
    """SIGTERM during the copy exits with 143 and leaves an empty store."""
    big = variant(source, tmp_path / "big", payload=64 * 2**20)
    pod = start(big, store, tmp_path / "run" / "model")
    while not list(store.glob(".install-*/*/payload.npy")):
        time.sleep(0.001)
        assert pod.poll() is None
    pod.terminate()
    pod.communicate(timeout=60)
    assert pod.returncode == 143
    assert held(store) == []


def test_a_full_store_is_one_clear_line(
    install: Install, source: Path, mounted: Callable[..., Path], tmp_path: Path
) -> None:
    """With too little free space, one line gives the model's size and the free space, and the store is unchanged."""
    big = variant(source, tmp_path / "big", payload=2 * 2**20)
    store = mounted("size=1m")
    assert "KiB are free" in one_line(install(big, store, tmp_path / "run" / "model"))
    assert held(store) == []
    assert not (tmp_path / "run" / "model").is_symlink()


def test_a_store_that_fills_up_during_the_copy_is_left_empty(
    install: Install, source: Path, mounted: Callable[..., Path], tmp_path: Path
) -> None:
    """A copy that fails for another reason than free space (no inodes) says why and leaves nothing."""
    store = mounted("size=64m,nr_inodes=5")
    assert "No space left on device" in one_line(install(source, store, tmp_path / "run" / "model"))
    assert held(store) == []


def test_a_read_only_store_serves_what_it_holds(
    install: Install, source: Path, mounted: Callable[..., Path], tmp_path: Path
) -> None:
    """A read-only store links a model that it holds, and says that it takes no lease; one that it lacks is one line."""
    store = mounted("size=64m")
    assert install(source, store, tmp_path / "run" / "model").returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", store], check=True)
    result = install(source, store, tmp_path / "run" / "again")
    assert (result.returncode, result.stderr.count("\n")) == (0, 1)
    assert "was there in" in result.stdout
    assert "no lease can be written (Read-only file system)" in result.stderr
    other = variant(source, tmp_path / "other", version="2")
    assert "Read-only file system" in one_line(install(other, store, tmp_path / "run" / "other"))


def test_a_store_without_write_permission_names_the_user(install: Install, source: Path, tmp_path: Path) -> None:
    """A store that the user may not write to is one line with the user's id."""
    open_to_other_users(tmp_path)
    store, run = tmp_path / "store", tmp_path / "run"
    store.mkdir(mode=0o755)
    run.mkdir()
    run.chmod(0o777)
    error = one_line(install(source, store, run / "model", user=10001, group=10001, extra_groups=[]))
    assert "user 10001" in error
    assert "Permission denied" in error


def test_two_versions_are_kept_side_by_side(
    install: Install, source: Path, store: Path, link: Path, tmp_path: Path
) -> None:
    """A newer model leaves the older one in the store, and going back copies nothing."""
    newer = variant(source, tmp_path / "newer", version="2")
    install(source, store, link)
    inode = (link / "syn1neg.npy").stat().st_ino
    assert install(newer, store, link).returncode == 0
    assert same(newer, link)
    assert held(store) == sorted([entry_of(source), entry_of(newer)])
    assert "was there" in install(source, store, link).stdout
    assert (link / "syn1neg.npy").stat().st_ino == inode


@pytest.mark.parametrize("name", ["dönér 🥙", "a b\"c'd\\e", "$(touch evil);`id`*", "-rf", '"version": "9"'])
def test_unusual_model_names_get_a_plain_folder(
    install: Install, source: Path, store: Path, link: Path, tmp_path: Path, name: str
) -> None:
    """A model with any name gets a folder of its own with a plain name."""
    odd = variant(source, tmp_path / "odd", name=name, version="1 é")
    result = install(odd, store, link)
    assert (result.returncode, result.stderr) == (0, "")
    assert same(odd, link)
    (entry,) = held(store)
    assert entry.isascii()
    assert not set(entry) & set(" \"'\\$`*;()")
    assert entry.endswith(read_manifest(odd).digest.removeprefix("sha256:")[:12])


def test_a_partial_copy_of_a_lost_host_is_removed_after_an_hour(
    install: Install, source: Path, store: Path, link: Path
) -> None:
    """A partial copy of another host is kept while it is fresh and removed after an hour without a write."""
    young, old = store / ".install-pod-a-1", store / ".install-pod-b-1"
    for left in (young, old):
        left.mkdir()
        (left / "syn1neg.npy").write_text("part")
    then = time.time() - 2 * 3600
    for path in (old / "syn1neg.npy", old):
        os.utime(path, (then, then))
    install(source, store, link)
    assert young.is_dir()
    assert not old.exists()


@pytest.mark.parametrize("missing", ["source", "store"])
def test_a_missing_source_or_store_is_named(
    install: Install, source: Path, store: Path, link: Path, missing: str
) -> None:
    """A source or store folder that does not exist is named in one line."""
    (source if missing == "source" else store).rename(link.parent.parent / "away")
    assert str(source if missing == "source" else store) in one_line(install(source, store, link))


def test_wrong_arguments_show_the_usage(install: Install) -> None:
    """Wrong arguments print the usage and exit with 2."""
    result = install("only one")
    assert result.returncode == 2
    assert "usage" in result.stderr
