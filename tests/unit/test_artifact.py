"""The model artifact: atomic writing, mapped opening and detection of damage."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gensim.models.doc2vec import Doc2Vec
from hypothesis import given, settings
from hypothesis import strategies as st

from paravec_model.artifact import Artifact, Manifest, read_manifest, verify
from paravec_model.artifact.arrays import array_specs
from paravec_model.artifact.manifest import MANIFEST, FileEntry
from paravec_model.artifact.noise import NOISE_TOTAL
from paravec_model.artifact.writer import ArrayFile, file_sha256, write_array
from paravec_model.encoder import Encoder
from paravec_model.errors import ArtifactError, ModelError, OptionError

from .. import parity


@pytest.fixture(scope="module")
def hs_model() -> Doc2Vec:
    """A small model with both outputs and every kind of array."""
    return parity.train(vector_size=8, epochs=1, dm=1, dm_concat=1, window=2, hs=1, negative=5)


@pytest.fixture(scope="module")
def sound(hs_model: Doc2Vec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound artifact of it, with doctags; not to be changed."""
    return parity.to_artifact(hs_model, tmp_path_factory.mktemp("sound") / "model", doctags=True).path


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(sound, tmp_path / "model")


def sign(folder: Path, **changes: object) -> None:
    """Make the manifest of `folder` fit its files and `changes`, as a forger would."""
    manifest = read_manifest(folder)
    files = {name: FileEntry((folder / name).stat().st_size, file_sha256(folder / name)) for name in manifest.files}
    forged: Manifest = replace(manifest, digest="", files=files, **changes)  # type: ignore[arg-type]
    (folder / MANIFEST).write_text(forged.to_json())


def test_what_was_written_is_read_back(hs_model: Doc2Vec, sound: Path) -> None:
    """The artifact holds gensim's words, rows and doctags."""
    artifact = Artifact.open(sound, verify=True)
    assert list(artifact.vocabulary) == hs_model.wv.index_to_key
    assert list(artifact.doctags) == hs_model.dv.index_to_key
    assert (artifact.arrays["doctag_vectors"] == hs_model.dv.vectors).all()
    rows = artifact.arrays["syn1neg"].reshape(len(artifact.vocabulary), 5, 16)
    assert (rows[:, :, :8].reshape(-1, 40) == hs_model.syn1neg).all()
    assert not rows[:, :, 8:].any()
    assert (artifact.arrays["cum_table"] == hs_model.cum_table).all()
    assert verify(sound) == []


def test_an_artifact_holds_only_json_and_npy(sound: Path) -> None:
    """Every file is JSON or an .npy that numpy reads without pickle."""
    for file in sound.iterdir():
        if file.suffix == ".json":
            json.loads(file.read_text())
        else:
            assert file.suffix == ".npy"
            np.load(file, allow_pickle=False)


def test_arrays_are_mapped_and_read_only(sound: Path) -> None:
    """Opening copies no array, and none can be written to."""
    for name, array in Artifact.open(sound).arrays.items():
        assert not array.flags.writeable, name
        assert not array.flags.owndata, name


def test_rows_begin_at_cache_lines(sound: Path) -> None:
    """Each row of a matrix is aligned to 64 bytes in memory."""
    for name in ("syn1neg", "syn1", "word_vectors"):
        array = Artifact.open(sound).arrays[name]
        assert array.ctypes.data % 64 == 0
        assert array.strides[0] % 64 == 0


@settings(max_examples=60)
@given(st.data())
def test_verify_names_the_file_of_any_flipped_bit(sound: Path, data: st.DataObject) -> None:
    """verify finds one flipped bit anywhere and names its file."""
    file = data.draw(st.sampled_from(sorted(sound.iterdir())))
    content = file.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    bit = data.draw(st.integers(0, 7))
    damaged = content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
    try:
        file.write_bytes(damaged)
        problems = verify(sound)
    finally:
        file.write_bytes(content)
    assert problems
    assert all(str(file) in problem for problem in problems)


def test_a_truncated_or_missing_file_is_named(copy: Path) -> None:
    """A server would not start with it, and the line says which file and how."""
    file = copy / "syn1neg.npy"
    os.truncate(file, file.stat().st_size - 4)
    with pytest.raises(ArtifactError, match=r"syn1neg\.npy: has \d+ bytes, the manifest says \d+"):
        Artifact.open(copy)
    file.unlink()
    (copy / "vocabulary_text.npy").unlink()
    assert [p.rsplit("/", 1)[1] for p in verify(copy)] == ["syn1neg.npy: is missing", "vocabulary_text.npy: is missing"]


@pytest.mark.parametrize("version", [1, 3])
def test_an_unknown_format_version_is_named(copy: Path, version: int) -> None:
    """A newer format says that a newer paravec is needed, an older one that the artifact must be made again."""
    manifest = copy / MANIFEST
    manifest.write_text(manifest.read_text().replace('"format_version": 2', f'"format_version": {version}'))
    assert f"format version {version} is not known" in verify(copy)[0]
    assert "install a paravec that reads it, or train or convert again" in verify(copy)[0]


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format_version": 2}', "[" * 100_000])
def test_an_invalid_manifest_is_one_clear_error(copy: Path, text: str) -> None:
    """Whatever is in its place, the error names the manifest."""
    (copy / MANIFEST).write_text(text)
    with pytest.raises(ArtifactError, match=MANIFEST):
        Artifact.open(copy)


def test_opening_a_gensim_file_names_the_convert_command(tmp_path: Path) -> None:
    """A gensim file in place of an artifact is not read, and the error names the command that converts it."""
    file = tmp_path / "doc2vec.model"
    file.write_bytes(b"\x80\x04N.")
    with pytest.raises(ArtifactError, match="paravec-model convert"):
        Artifact.open(file)


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("hs_points", lambda a: a * 0 + 2**31, "leaves the tree"),
        ("hs_codes", lambda a: a * 0 + 7, "leaves the tree"),
        ("hs_offsets", lambda a: a[::-1].copy(), "does not split"),
        ("cum_table", lambda a: a[::-1].copy(), "not a cumulative distribution"),
        ("cum_table", lambda a: a * 0, "not a cumulative distribution"),
        ("vocabulary_offsets", lambda a: a[::-1].copy(), "does not split"),
        ("vocabulary_offsets", lambda a: a + 1, "does not split"),
        ("vocabulary_offsets", lambda a: a.astype(np.int32), "the model needs <i8"),
        ("vocabulary_slots", lambda a: a[:-1], "the model needs <u8"),
        ("vocabulary_slots", lambda a: a * 0, "lacks the null word"),
        ("noise_guide", lambda a: a[:-1], "the model needs <u4"),
        ("syn1neg", lambda a: a[:-1], "the model needs <f4"),
        ("syn1neg", lambda a: a.astype(np.float64), "the model needs <f4"),
        ("word_vectors", lambda a: np.asfortranarray(a), "not an array of numbers in C order"),
    ],
)
def test_a_forged_array_is_refused(copy: Path, name: str, change: object, problem: str) -> None:
    """An array with another shape or an index out of range is refused even when the hashes are right."""
    file = copy / f"{name}.npy"
    np.save(file, change(np.load(file)))  # type: ignore[operator]
    sign(copy)
    with pytest.raises(ArtifactError, match=problem):
        Artifact.open(copy)


def test_a_path_longer_than_the_tree_allows_is_refused(copy: Path) -> None:
    """A Huffman path longer than any tree has is refused, since kernels reserve no room for it."""
    offsets = np.load(copy / "hs_offsets.npy")
    nodes = np.zeros(100_001, np.uint32)
    np.save(copy / "hs_offsets.npy", np.where(np.arange(len(offsets)) > 0, len(nodes), 0))
    np.save(copy / "hs_points.npy", nodes)
    np.save(copy / "hs_codes.npy", nodes.astype(np.uint8))
    sign(copy)
    with pytest.raises(ArtifactError, match=r"hs_offsets\.npy: a path is too long"):
        Artifact.open(copy)


def test_unaligned_arrays_are_refused(copy: Path) -> None:
    """An .npy header of odd length, which misaligns the numbers, is refused."""
    data = bytearray((copy / "syn1neg.npy").read_bytes())
    length = int.from_bytes(data[8:10], "little")
    data[8:10] = (length + 1).to_bytes(2, "little")
    data[9 + length : 9 + length] = b" "
    (copy / "syn1neg.npy").write_bytes(data)
    sign(copy)
    with pytest.raises(ArtifactError, match=r"syn1neg\.npy: is not a \.npy array: its numbers are not aligned"):
        Artifact.open(copy)


def test_an_array_of_objects_is_not_unpickled(copy: Path) -> None:
    """A .npy that holds a pickle is refused unread."""
    np.save(copy / "syn1neg.npy", np.array([print], object), allow_pickle=True)
    sign(copy)
    with pytest.raises(ArtifactError, match=r"syn1neg\.npy: is not a \.npy array"):
        Artifact.open(copy)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"PK", b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16, b"\x93NUMPY\x09\x00"],
    ids=["empty", "zip", "PK", "header", "version"],
)
def test_a_file_that_is_no_array_is_one_clear_error(copy: Path, content: bytes) -> None:
    """Whatever lies in an array's place is named, however numpy would have failed on it."""
    (copy / "syn1neg.npy").write_bytes(content)
    sign(copy)
    with pytest.raises(ArtifactError, match=r"syn1neg\.npy: is not a \.npy array"):
        Artifact.open(copy)


def test_a_huge_shape_allocates_nothing(copy: Path) -> None:
    """A header that promises more than the file holds is refused before memory is asked for."""
    with (copy / "syn1neg.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**5)}
        np.lib.format.write_array_header_1_0(file, header)
    sign(copy)
    with pytest.raises(ArtifactError, match=r"syn1neg\.npy: is not a \.npy array"):
        Artifact.open(copy)


def test_a_path_too_long_for_the_file_system_is_one_clear_error() -> None:
    """A name longer than the file system takes is an ArtifactError."""
    with pytest.raises(ArtifactError, match="too long"):
        Artifact.open("x" * 300)


def twice(text: np.ndarray) -> np.ndarray:
    """The bytes of the words with all letters alike, so that many words are the same."""
    return np.where(text > 0, np.uint8(ord("a")), text)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("vocabulary_text", twice),
        ("vocabulary_text", lambda a: a | 0x80),
        ("vocabulary_slots", lambda a: np.roll(a, 1)),
        ("vocabulary_slots", lambda a: a * 0),
        ("cum_table", lambda a: np.concatenate([a[-2::-1], a[-1:]])),
        ("noise_guide", lambda a: np.full_like(a, 2**32 - 1)),
        ("noise_guide", lambda a: a * 0),
    ],
)
def test_a_forged_hash_table_is_harmless_and_verify_finds_it(
    tmp_path: Path, artifact: Artifact, name: str, change: object
) -> None:
    """Lookups in a forged hash table end without harm, and verify refuses it."""
    copy = shutil.copytree(artifact.path, tmp_path / "model")
    file = copy / f"{name}.npy"
    np.save(file, change(np.load(file)))  # type: ignore[operator]
    sign(copy)
    encoder = Encoder(Artifact.open(copy))
    encoder.warm_up()
    assert encoder.encode([list(artifact.vocabulary), ["unheard-of"]]).vectors.shape[0] == 2
    table = "cum_table" if name == "cum_table" else "noise_guide" if name == "noise_guide" else "vocabulary"
    assert table in verify(copy)[0]
    with pytest.raises(ArtifactError, match=table):
        Artifact.open(copy, verify=True)


def test_a_manifest_cannot_list_files_of_another_folder(copy: Path) -> None:
    """A file name with a folder in it is refused."""
    manifest = read_manifest(copy)
    forged = replace(manifest, digest="", files=manifest.files | {"../secret": FileEntry(1, "0")})
    (copy / MANIFEST).write_text(forged.to_json())
    with pytest.raises(ArtifactError, match="lists other files than the model needs"):
        Artifact.open(copy)


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "new\nline", "x" * 101])
def test_a_model_name_must_be_usable_as_a_folder(hs_model: Doc2Vec, tmp_path: Path, name: str) -> None:
    """A model's name that cannot be a folder's name is refused."""
    with pytest.raises(ModelError, match="name"):
        replace(parity.to_artifact(hs_model, tmp_path / "m").manifest, name=name)


def test_a_center_needs_method_map(copy: Path) -> None:
    """Whoever forges a manifest cannot have one subtracted that nothing made."""
    with pytest.raises(OptionError, match="map_centered: must be absent"):
        sign(copy, map_centered=True)


def test_writing_is_atomic_and_overwrites_nothing(hs_model: Doc2Vec, copy: Path) -> None:
    """An existing output is refused, and a failed write leaves no folder."""
    with pytest.raises(ModelError, match="already exists"):
        parity.to_artifact(hs_model, copy)
    broken = parity.train(vector_size=8, epochs=1, dm=0)
    broken.syn1neg = broken.syn1neg[:-1]
    with pytest.raises(ModelError, match=r"syn1neg\.npy"):
        parity.to_artifact(broken, copy.parent / "new")
    assert sorted(p.name for p in copy.parent.iterdir()) == ["model"]


@pytest.mark.parametrize("sizes", [[], [0], [3], [1, 0, 2**17]])
def test_an_array_written_in_parts_is_the_same_file(tmp_path: Path, sizes: list[int]) -> None:
    """To the byte, of whatever length, and its entry is right."""
    parts = [np.arange(size, dtype=np.int64) for size in sizes]
    whole = np.concatenate([np.empty(0, np.int64), *parts])
    file = ArrayFile(tmp_path / "parts.npy", "<u4")
    for part in parts:
        file.append(part)
    assert file.entry() == write_array(tmp_path / "whole.npy", whole, "<u4")
    assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_the_digest_is_the_models_identity(hs_model: Doc2Vec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same model made at another time has the same digest; another option or number gives another."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    first = parity.to_artifact(hs_model, tmp_path / "a").manifest
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "2")
    second = parity.to_artifact(hs_model, tmp_path / "b").manifest
    assert first.created != second.created
    assert first.digest == second.digest
    other = parity.to_artifact(hs_model, tmp_path / "c", defaults=replace(first.defaults, epochs=3)).manifest
    assert other.digest != first.digest


@pytest.mark.parametrize(("rows", "width"), [(6_000, 99_984), (10_000_000, 16)], ids=["matrices", "words"])
def test_opening_costs_no_memory(copy: Path, rows: int, width: int) -> None:
    """Gigabytes of rows and of words are opened in less memory than a hundredth of them."""
    manifest = read_manifest(copy)
    algorithm = replace(manifest.algorithm, mode="dbow", hs=False, vector_size=width)
    for file in copy.iterdir():
        file.unlink()
    for name, (dtype, shape) in array_specs(algorithm, rows, 0, has_map=False).items():
        # Zeros that take no room on the disk.
        array = np.lib.format.open_memmap(copy / name, "w+", dtype, tuple(n or 8 * rows for n in shape))
        array[-1:] = {"vocabulary_offsets.npy": 8 * rows, "cum_table.npy": NOISE_TOTAL}.get(name, 0)
    files = {f.name: FileEntry(f.stat().st_size, "0") for f in copy.iterdir()}
    assert sum(entry.size for entry in files.values()) > 10**9
    forged = replace(manifest, digest="", algorithm=algorithm, vocabulary_size=rows, doctag_count=0, files=files)
    (copy / MANIFEST).write_text(forged.to_json())
    code = (
        "import resource, sys; from paravec_model.encoder import Encoder; from paravec_model.artifact import Artifact;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; e = Encoder(Artifact.open(sys.argv[1]));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(copy)], capture_output=True, text=True, check=True)
    assert int(ran.stdout) * 1024 < 10**7
