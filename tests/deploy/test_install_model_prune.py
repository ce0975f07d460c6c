"""install-model --prune: what it removes from a store, and what it leaves."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .stores import SCRIPT, Install, Store, entry_of, held, lease, open_to_other_users, same, variant

DAY = 86400


@pytest.fixture
def models(source: Path, store: Path, install: Install, tmp_path: Path) -> Store:
    """A store that is pruned for a year, with two models: pod `server-1` uses the second, and nobody the first."""
    made = Store(store, install)
    newer = variant(source, tmp_path / "newer", version="2")
    for model in (source, newer):
        install(model, store, tmp_path / "run/model", variables={"POD_NAME": "server-1"})
    made.watched(365 * DAY)
    return made


def test_a_model_that_no_pod_uses_is_removed(models: Store, source: Path, tmp_path: Path) -> None:
    """What is in use by whom, what is recent, and what is removed is a line each; the removed model leaves nothing."""
    old, used = entry_of(source), entry_of(tmp_path / "newer")
    models.idle(old, 3 * DAY)
    models.idle(used, 30 * DAY)
    assert models.prune("14d") == [f"{used}: in use by server-1", f"{old}: kept, last used 3 days ago"][::-1]
    models.idle(old, 20 * DAY)
    first, second = models.prune("14d")
    assert first.startswith(f"{old}: removed, ")
    assert second == f"{used}: in use by server-1"
    assert held(models.path) == [used]
    assert [path.name.startswith(used) for path in (models.path / ".verified").iterdir()] == [True]
    assert {path.name for path in (models.path / ".leases").iterdir()} == {"server-1", ".since"}


def test_all_pods_that_use_a_model_are_named(models: Store, install: Install, source: Path, tmp_path: Path) -> None:
    """Each pod whose lease names the model is in its line."""
    for pod in ("server-2", "server-3"):
        install(source, models.path, tmp_path / pod, variables={"POD_NAME": pod})
    assert f"{entry_of(source)}: in use by server-2, server-3" in models.prune("0m")


def test_a_model_in_use_is_never_removed(models: Store, tmp_path: Path) -> None:
    """Neither its age nor the age given removes it."""
    used = entry_of(tmp_path / "newer")
    models.idle(used, 1000 * DAY)
    assert f"{used}: in use by server-1" in models.prune("0m")
    assert held(models.path) == [used]


@pytest.mark.parametrize("end", ["", "\n", " more\n"])
def test_any_form_of_a_lease_counts(models: Store, source: Path, end: str) -> None:
    """A lease holds its model with or without a line's end, and beside what is no lease."""
    old = entry_of(source)
    models.idle(old, 30 * DAY)
    lease(models.path, "by-hand").write_text(old + end)
    os.mkfifo(lease(models.path, "a-pipe"))
    lease(models.path, "a-folder").mkdir()
    lease(models.path, "empty").touch()
    assert f"{old}: in use by by-hand" in models.prune("14d")


def test_a_lease_that_cannot_be_read_holds_every_model(models: Store, source: Path) -> None:
    """What its pod uses is not known, so nothing is removed."""
    old = entry_of(source)
    models.idle(old, 30 * DAY)
    lease(models.path, "secret").touch(0)
    # Root may read any file, by a capability.
    user = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    command = [*user, str(SCRIPT), "--prune", str(models.path), "--older-than", "14d"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"install-model: {old}: in use by secret\n" in done.stdout, done.stderr


def test_leases_behind_a_link_are_left_alone(models: Store, install: Install, source: Path, tmp_path: Path) -> None:
    """A link in place of the folder of leases could lead out of the store: no file there is read, made or deleted."""
    outside = (models.path / ".leases").rename(tmp_path / "outside")
    (models.path / ".leases").symlink_to(outside)
    os.utime(outside / "server-1", (0, 0))
    before = {path.name for path in outside.iterdir()}
    done = install("--prune", models.path, "--older-than", "0m")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("is a symbolic link; nothing is removed\n")
    assert "no lease can be written" in install(source, models.path, tmp_path / "run/other").stderr
    assert {path.name for path in outside.iterdir()} == before


def test_clocks_of_killed_runs_are_removed(models: Store) -> None:
    """A run reads the store's time from a file of its own, which an old one left behind."""
    for name, written in ((".clock-old-1", 0), (".clock-new-1", time.time())):
        lease(models.path, name).touch()
        os.utime(lease(models.path, name), (written, written))
    models.prune("14d")
    assert {path.name for path in (models.path / ".leases").glob(".clock-*")} == {".clock-new-1"}


def test_an_expired_lease_frees_the_model(models: Store, tmp_path: Path) -> None:
    """A pod that was killed hard, and whose lease nobody renews, holds its model for an hour."""
    used = entry_of(tmp_path / "newer")
    models.idle(used, 30 * DAY)
    models.renewed("server-1", 3500)
    assert f"{used}: in use by server-1" in models.prune("14d")
    models.renewed("server-1", 3 * 3600)
    said = models.prune("14d")
    assert f"{used}: the lease of server-1 has expired, it was last renewed 3 hours ago" in said
    assert any(line.startswith(f"{used}: removed, ") for line in said)
    assert not lease(models.path, "server-1").exists()


def test_a_dry_run_removes_nothing(models: Store, source: Path, tmp_path: Path) -> None:
    """It says the same, and that the model would be removed."""
    models.idle(entry_of(source), 20 * DAY)
    models.idle(entry_of(tmp_path / "newer"), 30 * DAY)
    models.renewed("server-1", 3 * 3600)
    said = models.prune("14d", "--dry-run")
    assert f"{entry_of(source)}: would be removed, last used 20 days ago" in said
    assert f"{entry_of(tmp_path / 'newer')}: would be removed, last used 30 days ago" in said
    assert held(models.path) == sorted([entry_of(source), entry_of(tmp_path / "newer")])
    assert lease(models.path, "server-1").exists()


def test_pods_of_the_first_release_get_the_time_to_go(models: Store, source: Path) -> None:
    """They hold no leases, so nothing is removed before leases are watched for the given age."""
    old = entry_of(source)
    models.idle(old, 30 * DAY)
    (models.path / ".leases/.since").unlink()
    assert f"{old}: kept, last used 30 days ago, but leases are watched for 0 minutes only" in models.prune("14d")
    models.watched(13 * DAY)
    assert f"{old}: kept, last used 30 days ago, but leases are watched for 13 days only" in models.prune("14d")
    models.watched(15 * DAY)
    assert any(line.startswith(f"{old}: removed") for line in models.prune("14d"))


def test_foreign_files_are_left_alone(models: Store, source: Path, tmp_path: Path) -> None:
    """Files, folders and links that install-model did not make stay, however old, and each is a line."""
    entry = entry_of(source)
    (models.path / "lost+found").mkdir()
    (models.path / "notes 1.txt").write_text("mine")
    (models.path / "--").mkdir()
    (models.path / f"mine-{entry}").mkdir()
    # A model under another name than its own may be somebody's copy.
    (models.path / entry).rename(models.path / "backup")
    # Its name is a model's, but what it leads to may be anywhere.
    (models.path / entry).symlink_to(models.path / "backup")
    (models.path / ".hidden").mkdir()
    foreign = {"lost+found", "notes 1.txt", "--", f"mine-{entry}", "backup", entry}
    for name in foreign:
        os.utime(models.path / name, (0, 0))
    said = models.prune("0m")
    assert {line.removesuffix(": left alone, it is no model") for line in said} - foreign == {
        f"{entry_of(tmp_path / 'newer')}: in use by server-1"
    }
    assert {*held(models.path)} == foreign | {".hidden", entry_of(tmp_path / "newer")}
    assert same(source, models.path / "backup")


@pytest.mark.parametrize("name", ["dönér 🥙", "a b\"c'd\\e", "$(touch evil);`id`*", "-rf", '"version": "9"', "--"])
def test_models_with_unusual_names_are_pruned(
    models: Store, install: Install, source: Path, tmp_path: Path, name: str
) -> None:
    """A lease protects a model with any name, and without it the model goes."""
    odd = variant(source, tmp_path / "odd", name=name, version="1 é")
    before = held(models.path)
    install(odd, models.path, tmp_path / "run/odd", variables={"POD_NAME": "odd/../pod 2"})
    (entry,) = set(held(models.path)) - set(before)
    assert f"{entry}: in use by odd_.._pod_2" in models.prune("0m")
    lease(models.path, "odd_.._pod_2").unlink()
    models.idle(entry, DAY)
    assert any(line.startswith(f"{entry}: removed") for line in models.prune("0m"))
    assert entry not in held(models.path)


def test_leftovers_of_interrupted_runs_are_removed(models: Store, source: Path) -> None:
    """Private copies that nobody has written to for an hour go, and fresh ones stay."""
    for name in (".install-gone-1", ".install-alive-1"):
        (models.path / name).mkdir()
        (models.path / name / "part.npy").write_text("part")
    for path in (models.path / ".install-gone-1/part.npy", models.path / ".install-gone-1"):
        os.utime(path, (time.time() - 7200,) * 2)
    assert ".install-gone-1: removed, an interrupted run left it" in models.prune("14d")
    assert [name for name in held(models.path) if name.startswith(".")] == [".install-alive-1"]


def test_an_interrupted_prune_is_finished_by_the_next(models: Store, source: Path, tmp_path: Path) -> None:
    """What it had renamed away goes back if a pod uses it, and else is deleted; a part of a model never goes back."""
    old, used = entry_of(source), entry_of(tmp_path / "newer")
    for number, entry in enumerate((old, used)):
        away = models.path / f".prune-gone-{number}"
        away.mkdir()
        (models.path / entry).rename(away / entry)
        os.utime(away / entry, (0, 0))
        for path in [*(away / entry).iterdir(), away / entry, away]:
            os.utime(path, (time.time() - 7200,) * 2)
    said = models.prune("14d")
    assert f"{used}: put back, server-1 came to use it" in said
    assert any(line.startswith(f"{old}: removed") for line in said)
    assert held(models.path) == [used]
    (models.path / ".prune-gone-1").mkdir()
    (models.path / used / "manifest.json").unlink()
    (models.path / used).rename(models.path / ".prune-gone-1" / used)
    for path in (models.path / ".prune-gone-1").rglob("*"):
        os.utime(path, (0, 0))
    os.utime(models.path / ".prune-gone-1", (0, 0))
    models.prune("14d")
    assert held(models.path) == []


def test_an_interrupted_prune_is_finished_by_an_install(
    models: Store, source: Path, tmp_path: Path, install: Install
) -> None:
    """The model that it needs is put back, not copied again; another that nobody uses is deleted."""
    needed, other = entry_of(tmp_path / "newer"), entry_of(source)
    was = (models.path / needed).stat().st_ino
    for entry in (needed, other):
        away = models.path / f".prune-gone-{entry}" / entry
        away.parent.mkdir()
        (models.path / entry).rename(away)
        for path in [*away.iterdir(), away, away.parent]:
            os.utime(path, (0, 0))
    lines = install(tmp_path / "newer", models.path, tmp_path / "run/model").stdout.splitlines()
    assert [line.split(": ", 2)[1] for line in lines[:-1]] == sorted([needed, other])
    assert " was there" in lines[-1]
    assert held(models.path) == [needed]
    assert (models.path / needed).stat().st_ino == was


def test_a_model_of_another_user_is_named(models: Store, source: Path, install: Install, tmp_path: Path) -> None:
    """A user who may not remove a model gets a line with both users, the rest is done, and the exit code is 1."""
    open_to_other_users(tmp_path)
    for folder in (models.path, models.path / ".leases", models.path / ".verified"):
        folder.chmod(0o777)
    models.idle(entry_of(source), 20 * DAY)
    done = install("--prune", models.path, "--older-than", "14d", user=10002, group=10002, extra_groups=[])
    assert done.returncode == 1
    assert done.stderr == (
        f"install-model: {models.path}/{entry_of(source)}: user 10002 cannot remove it: Permission denied; "
        "it belongs to user 0\n"
    )
    assert f"{entry_of(tmp_path / 'newer')}: in use by server-1" in done.stdout
    assert len(held(models.path)) == 2


def test_pods_of_other_users_write_leases_too(install: Install, source: Path, store: Path, tmp_path: Path) -> None:
    """The folders for leases and markers are as open as the store is."""
    store.chmod(0o2775)
    install(source, store, tmp_path / "run/model")
    assert {(store / name).stat().st_mode & 0o7777 for name in (".leases", ".verified")} == {0o2775}


def test_a_read_only_store_is_one_line(models: Store, install: Install, mounted: Callable[..., Path]) -> None:
    """Nothing is removed where nothing can be written, and a line says so."""
    store = mounted("size=64m,ro")
    done = install("--prune", store, "--older-than", "14d")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"install-model: {store}: user 0 cannot write to it: Read-only file system; nothing is removed\n"
    )


@pytest.mark.parametrize("age", ["14", "d", "1.5d", "-1d", "007d", "14 d", "14w", "123456d", ""])
def test_a_wrong_age_shows_the_usage(install: Install, store: Path, age: str) -> None:
    """An age is a number of days, hours or minutes."""
    done = install("--prune", store, "--older-than", age)
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_ages_are_of_the_stores_clock(
    models: Store, source: Path, wrapped: Callable[[str, str], None], install: Install
) -> None:
    """The store's clock is ahead by three days here: what is a moment old by this machine's clock is three days old."""
    wrapped("touch", 'touch "$@"; for file; do case $file in */.clock-*) touch -d "3 days" "$file" ;; esac; done')
    assert f"{entry_of(source)}: kept, last used 3 days ago" in models.prune("4d", "--dry-run")
    assert f"{entry_of(source)}: would be removed, last used 3 days ago" in models.prune("2d", "--dry-run")
