"""install-model with a damaged image, or a damaged copy in the store."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from paravec_model.artifact import read_manifest, verify
from paravec_model.artifact.manifest import FileEntry

from .stores import Install, entry_of, flip, held, one_line, same, variant


def become_a_file(folder: Path) -> None:
    """Put an empty file where a folder was."""
    shutil.rmtree(folder)
    folder.touch()


def empty(folder: Path) -> None:
    """Delete the files of a folder."""
    for file in folder.iterdir():
        file.unlink()


SPOILERS: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda copy: flip(copy / "syn1neg.npy"),
    "a truncated file": lambda copy: os.truncate(copy / "syn1neg.npy", 100),
    "a missing file": lambda copy: shutil.move(copy / "vocabulary_text.npy", copy / "elsewhere"),
    "a damaged manifest": lambda copy: flip(copy / "manifest.json"),
    "an empty folder": empty,
    "a file in its place": become_a_file,
}


def test_a_damaged_image_names_the_file(install: Install, source: Path, store: Path, link: Path) -> None:
    """A file whose hash is wrong in the image is named; the store stays empty and no link is made."""
    flip(source / "syn1neg.npy")
    error = one_line(install(source, store, link))
    assert str(source) in error
    assert "syn1neg.npy" in error
    assert held(store) == []
    assert not link.is_symlink()


@pytest.mark.parametrize("spoil", [flip, Path.unlink, lambda path: path.write_text("{}")])
def test_a_damaged_manifest_is_not_installed(
    install: Install, source: Path, store: Path, link: Path, spoil: Callable[[Path], object]
) -> None:
    """An image without a valid manifest leaves the store empty."""
    spoil(source / "manifest.json")
    assert "manifest.json" in one_line(install(source, store, link))
    assert held(store) == []


def test_a_manifest_with_paths_outside_the_model_is_refused(
    install: Install, source: Path, store: Path, link: Path, tmp_path: Path
) -> None:
    """A file name in the manifest that leaves the model's folder is refused."""
    manifest = read_manifest(source)
    evil = replace(manifest, digest="", files={"../../evil": FileEntry(1, "0" * 64)})
    (source / "manifest.json").write_text(evil.to_json())
    assert "no artifact has" in one_line(install(source, store, link))


@pytest.mark.parametrize("spoiled", SPOILERS)
def test_a_damaged_copy_is_replaced(install: Install, source: Path, store: Path, link: Path, spoiled: str) -> None:
    """A copy that somebody wrote to is found, said and replaced."""
    install(source, store, link)
    SPOILERS[spoiled](store / entry_of(source))
    result = install(source, store, link)
    assert result.returncode == 0
    assert "replaced" in result.stderr
    assert held(store) == [entry_of(source)]
    assert verify(link) == []


def test_twenty_pods_replace_a_damaged_copy(
    start: Callable[..., "subprocess.Popen[str]"], install: Install, source: Path, store: Path, tmp_path: Path
) -> None:
    """Whoever comes second finds it replaced, and all succeed."""
    big = variant(source, tmp_path / "big", payload=8 * 2**20)
    install(big, store, tmp_path / "first/model")
    flip(store / entry_of(big) / "syn1neg.npy")
    links = [tmp_path / "runs" / str(i) / "model" for i in range(20)]
    pods = [start(big, store, link) for link in links]
    ends = [pod.communicate(timeout=120)[1] for pod in pods]
    assert [pod.returncode for pod in pods] == [0] * 20, ends
    assert held(store) == [entry_of(big)]
    assert all(same(big, link) for link in links)


def test_a_damaged_copy_is_deleted_first_if_space_is_short(
    install: Install, source: Path, mounted: Callable[..., Path], tmp_path: Path
) -> None:
    """On a volume with room for one copy, the damaged copy is removed before the new one is written."""
    big = variant(source, tmp_path / "big", payload=8 * 2**20)
    store, link = mounted("size=12m"), tmp_path / "run/model"
    assert install(big, store, link).returncode == 0
    flip(store / entry_of(big) / "syn1neg.npy")
    assert install(big, store, link).returncode == 0
    assert same(big, link)


def test_a_restored_copy_is_verified_once(install: Install, source: Path, store: Path, link: Path) -> None:
    """A sound copy restored from a backup is read once and trusted afterwards."""
    shutil.copytree(source, store / entry_of(source))
    inode = (store / entry_of(source) / "syn1neg.npy").stat().st_ino
    assert "hashes are right" in install(source, store, link).stdout
    assert "hashes are right" not in install(source, store, link).stdout
    assert (link / "syn1neg.npy").stat().st_ino == inode
