"""`paravec-model export`: the training documents' vectors, read by the programs they are for."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors

from paravec_model.artifact import Artifact, finite
from paravec_model.cli.main import main
from paravec_model.document_files import write_documents
from paravec_model.errors import ModelError

from .. import parity
from ..environments import environment

Capture = pytest.CaptureFixture[str]


def export(artifact: Path, output: Path, *flags: str) -> int:
    """Run the command."""
    return main(["export", str(artifact), str(output), *flags])


def with_tags(artifact: Artifact, tags: list[str | int]) -> Artifact:
    """The artifact with other tags for its first documents, and numbers for the others."""
    other = replace(artifact)
    # The cached property looks here first.
    vars(other)["doctags"] = [*tags, *range(1000, 1000 + len(artifact.doctags) - len(tags))]
    return other


def test_gensim_reads_word2vec_text(artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """gensim loads the same tags and the same float32 numbers, of several blocks."""
    monkeypatch.setattr(finite, "_BLOCK_NUMBERS", 1000)
    named = with_tags(artifact, ["perché", "a-1"])
    assert write_documents(named, tmp_path / "lee.txt", "word2vec") == len(artifact.doctags)
    loaded = KeyedVectors.load_word2vec_format(str(tmp_path / "lee.txt"))
    assert b"\r" not in (tmp_path / "lee.txt").read_bytes()
    assert loaded.index_to_key == [str(tag) for tag in named.doctags]
    size = artifact.manifest.algorithm.vector_size
    np.testing.assert_array_equal(loaded.vectors, artifact.arrays["doctag_vectors"][:, :size])


def test_numpy_reads_vectors_and_json_the_tags(artifact: Artifact, tmp_path: Path, capsys: Capture) -> None:
    """The .npy file holds the vectors, here of unit length, and the file beside it their tags."""
    output = tmp_path / "new" / "lee.npy"
    assert export(artifact.path, output, "--normalize") == 0
    size = artifact.manifest.algorithm.vector_size
    assert capsys.readouterr().out == f"{output}: {len(artifact.doctags):,} vectors of {size} dimensions\n"
    vectors = np.load(output)
    assert (vectors.dtype, len(vectors)) == (np.float32, len(artifact.doctags))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert json.loads((tmp_path / "new/lee.tags.json").read_text()) == list(artifact.doctags)
    assert sorted(file.name for file in output.parent.iterdir()) == ["lee.npy", "lee.tags.json"]


def test_a_zero_vector_stays_zero(artifact: Artifact, tmp_path: Path) -> None:
    """A vector without a direction is not divided by its length."""
    vectors = artifact.arrays["doctag_vectors"].copy()
    vectors[1] = 0
    other = replace(artifact, arrays=artifact.arrays | {"doctag_vectors": vectors})
    write_documents(other, tmp_path / "lee.npy", "npy", normalize=True)
    written = np.load(tmp_path / "lee.npy")
    np.testing.assert_array_equal(written[1], 0)
    np.testing.assert_allclose(np.linalg.norm(written[2:], axis=1), 1, rtol=1e-6)


@pytest.mark.slow
def test_pyarrow_reads_parquet(artifact: Artifact, tmp_path: Path) -> None:
    """The columns hold tags and vectors, and the metadata names the model."""
    python = str(environment("ray") / "bin/python")
    output = tmp_path / "lee.parquet"
    root = Path(__file__).parents[2]
    command = [python, "-m", "paravec_model.cli", "export", str(artifact.path), str(output)]
    subprocess.run(command, env={"PYTHONPATH": str(root / "model")}, check=True, capture_output=True)
    program = (
        "import json, sys; from pyarrow import parquet as pq; table = pq.read_table(sys.argv[1]);"
        "print(json.dumps([table.to_pydict(), json.loads(table.schema.metadata[b'paravec.model'])]))"
    )
    ran = subprocess.run([python, "-c", program, output], check=True, capture_output=True, text=True)
    columns, model = json.loads(ran.stdout)
    assert columns["tag"] == list(map(str, artifact.doctags))
    size = artifact.manifest.algorithm.vector_size
    np.testing.assert_array_equal(np.array(columns["vector"], np.float32), artifact.arrays["doctag_vectors"][:, :size])
    assert model["digest"] == artifact.manifest.digest


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        (["a b"], "tag 'a b': is empty or has white space, which word2vec text cannot hold"),
        ([""], "tag '': is empty"),
        ([1, "1"], "tag '1' is there as a number and as a text, which only npy can tell apart"),
        (["\ud800"], "a tag has a lone surrogate, which UTF-8 cannot hold"),
    ],
)
def test_a_tag_that_the_format_cannot_hold_is_named(
    artifact: Artifact, tmp_path: Path, tags: list[str | int], problem: str
) -> None:
    """The error names the tag, and no part of a file is left."""
    with pytest.raises(ModelError, match=problem):
        write_documents(with_tags(artifact, tags), tmp_path / "lee.txt", "word2vec")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("lee.xyz", "its suffix names no format; --format does: word2vec, npy, parquet"),
        ("exists.npy", "exists.npy: already exists"),
        ("other.npy", "other.tags.json: already exists"),
        ("folder/lee.npy", "cannot be created"),
        (250 * "a" + ".npy", "cannot be written: File name too long"),
        (242 * "a" + ".npy", "cannot be written: File name too long"),
    ],
)
def test_a_file_that_cannot_be_written_is_named(
    artifact: Artifact, tmp_path: Path, capsys: Capture, name: str, problem: str
) -> None:
    """The error is one line that names the file, and neither a file nor a part of one is left."""
    for existing in ("exists.npy", "folder", "other.tags.json"):
        (tmp_path / existing).touch()
    before = sorted(tmp_path.iterdir())
    assert export(artifact.path, tmp_path / name) == 1
    said = capsys.readouterr().err
    assert problem in said
    assert said.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("output", ["/", ".", ".."])
def test_a_folder_without_a_name_is_no_output(artifact: Artifact, capsys: Capture, output: str) -> None:
    """No tags can be written beside it; the error is one line all the same."""
    assert export(artifact.path, Path(output), "--format", "npy") == 1
    assert capsys.readouterr().err.startswith(f"paravec-model: {output}: already exists")


def test_an_artifact_without_documents_says_so(tmp_path: Path, capsys: Capture) -> None:
    """Without doctags there is nothing to write."""
    bare = parity.to_artifact(parity.train(dm=0, epochs=1), tmp_path / "bare").path
    assert export(bare, tmp_path / "lee.npy") == 1
    assert "holds no documents; make it with --doctags" in capsys.readouterr().err
