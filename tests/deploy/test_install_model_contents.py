"""What install-model puts into a model's folder in the store: the model, its signature and nothing else."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from paravec_model.artifact import Artifact, read_manifest
from paravec_model.signature import Verifier

from ..signing import Signer
from .stores import Install, entry_of, same, variant


def contents(folder: Path) -> set[str]:
    """The names of all that is in a folder."""
    return {path.name for path in folder.iterdir()}


def model_files(source: Path) -> set[str]:
    """The names of a model's files."""
    return {"manifest.json", *read_manifest(source).files}


def inodes(folder: Path) -> dict[str, int]:
    """The inodes of a model's files, which a copy changes."""
    return {path.name: path.stat().st_ino for path in folder.iterdir() if path.name != "model.sig"}


def test_the_folder_holds_the_model_alone(install: Install, source: Path, store: Path, link: Path) -> None:
    """The listed files and the manifest are in it; a file of the image that the manifest does not list is not."""
    (source / "notes.txt").write_text("not listed")
    assert install(source, store, link).returncode == 0
    assert contents(link) == model_files(source)
    assert "was there in" in install(source, store, link).stdout
    assert contents(link) == model_files(source)


def test_a_signature_that_is_no_file_is_refused(install: Install, source: Path, store: Path, link: Path) -> None:
    """A pipe would be read for ever."""
    os.mkfifo(source / "model.sig")
    result = install(source, store, link)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"install-model: {source}/model.sig: is no regular file; build this image again\n"


def test_a_signature_travels_with_the_model(install: Install, source: Path, store: Path, link: Path) -> None:
    """model.sig is copied, though the manifest does not list it."""
    (source / "model.sig").write_text('{"signed": 1}')
    result = install(source, store, link)
    assert (result.returncode, result.stderr) == (0, "")
    assert contents(link) == model_files(source) | {"model.sig"}
    assert (link / "model.sig").read_text() == '{"signed": 1}'


def test_a_stored_model_gets_the_signature_of_the_image(
    install: Install, source: Path, store: Path, link: Path
) -> None:
    """A signature is added to a stored model, or replaces another one; no file of the model is copied for it."""
    install(source, store, link)
    before = inodes(link)
    for signature in ('{"signed": 1}', '{"signed": 2}'):
        (source / "model.sig").write_text(signature)
        result = install(source, store, link)
        assert (result.returncode, result.stderr) == (0, "")
        assert "was there in" in result.stdout
        assert (link / "model.sig").read_text() == signature
        assert inodes(link) == before


def test_the_same_model_made_and_signed_again_stays_signed(
    install: Install, source: Path, store: Path, link: Path, tmp_path: Path
) -> None:
    """The signature covers the manifest, which says when the model was made: both come from the image, nothing else."""
    signer = Signer(tmp_path / "keys")
    again = variant(source, tmp_path / "again", created="2030-01-01T00:00:00Z")
    for directory in (source, again):
        signer.sign(directory)
    assert entry_of(again) == entry_of(source)
    install(source, store, link)
    before = inodes(link)
    # While a file is open, no other gets its inode.
    with (link / "manifest.json").open(), (link / "model.sig").open():
        for directory in (again, source, again):
            assert "was there in" in install(directory, store, link).stdout
            opened = Artifact.open(link, signed_by=Verifier.read(signer.key))
            assert opened.manifest.created == read_manifest(directory).created
    assert {name for name, inode in inodes(link).items() if inode == before[name]} == read_manifest(source).files.keys()


def test_an_unsigned_image_leaves_the_signature(install: Install, source: Path, store: Path, link: Path) -> None:
    """The same model from an image without a signature keeps the stored one, which other pods may check."""
    (source / "model.sig").write_text('{"signed": 1}')
    install(source, store, link)
    (source / "model.sig").unlink()
    result = install(source, store, link)
    assert (result.returncode, result.stderr) == (0, "")
    assert (link / "model.sig").read_text() == '{"signed": 1}'


def test_a_signature_that_cannot_be_written_is_said(
    install: Install, source: Path, mounted: Callable[..., Path], tmp_path: Path
) -> None:
    """A read-only store serves the model, and a line says that its signature is not the image's."""
    store, link = mounted("size=64m"), tmp_path / "run/model"
    install(source, store, link)
    subprocess.run(["mount", "-o", "remount,ro", store], check=True)
    (source / "model.sig").write_text('{"signed": 1}')
    result = install(source, store, link)
    assert result.returncode == 0
    assert "model.sig: cannot be replaced by this image's: Read-only" in result.stderr


def test_a_foreign_file_in_the_models_folder_is_removed(
    install: Install, source: Path, store: Path, link: Path
) -> None:
    """A file that somebody put beside the model is removed, and a line says so: checks of signatures refuse it."""
    install(source, store, link)
    before = inodes(link)
    for name in ("a b.npy", ".hidden", "..odd"):
        (link / name).write_text("foreign")
    (link / "folder").mkdir()
    result = install(source, store, link)
    assert result.returncode == 0
    assert sorted(line.partition(": is no file of the model")[0] for line in result.stderr.splitlines()) == sorted(
        f"install-model: {store / entry_of(source) / name}" for name in ("a b.npy", ".hidden", "..odd", "folder")
    )
    assert inodes(link) == before


def test_a_marker_of_release_0_1_is_taken_over(install: Install, source: Path, store: Path, link: Path) -> None:
    """A marker inside the folder moves out of it, and the model is not read again; a wrong one is not believed."""
    install(source, store, link)
    (marker,) = (store / ".verified").iterdir()
    text = marker.read_text()
    for old, said in ((text, "was there in"), ("something else", "hashes are right")):
        shutil.rmtree(store / ".verified")
        (link / ".verified").write_text(old)
        result = install(source, store, link)
        assert (result.returncode, result.stderr) == (0, "")
        assert said in result.stdout
        assert contents(link) == model_files(source)
        assert [path.read_text() for path in (store / ".verified").iterdir()] == [text]


def test_a_copy_that_was_not_verified_is_not_believed(
    install: Install, source: Path, store: Path, link: Path, tmp_path: Path
) -> None:
    """A marker is of one copy: another copy of the model in its place is read and checked."""
    install(source, store, link)
    entry = store / entry_of(source)
    shutil.copytree(entry, tmp_path / "copy")
    (tmp_path / "copy/syn1neg.npy").write_bytes(bytes((entry / "syn1neg.npy").stat().st_size))
    shutil.rmtree(entry)
    (tmp_path / "copy").rename(entry)
    result = install(source, store, link)
    assert "syn1neg.npy was changed or damaged" in result.stderr
    assert same(source, link)
