"""A model with one NaN: verify, evaluation, encoder and server all report it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import paravec_model
from paravec_client import EmbeddingClient, ServerError
from paravec_model.artifact import Artifact
from paravec_model.cli.main import main
from paravec_model.encoder import Encoder
from paravec_model.errors import ArtifactError, NotFiniteError

from ..servers import running

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def spoiled(artifact: Artifact, tmp_path: Path) -> Path:
    """An artifact with a NaN in the rows of one word, for both methods, and in the vector of document 3."""
    folder = shutil.copytree(artifact.path, tmp_path / "spoiled")
    row = artifact.vocabulary.id_of("police")
    for name in ("syn1neg", "map_syn1neg"):
        array = np.load(folder / f"{name}.npy", "r+")
        array[row, 4] = np.nan
        array.flush()
    documents = np.load(folder / "doctag_vectors.npy", "r+")
    documents[list(artifact.doctags).index(3), 4] = np.nan
    documents.flush()
    return folder


def test_verify_names_arrays_with_nan(artifact: Artifact, spoiled: Path, capsys: Capture) -> None:
    """verify names the arrays that hold NaN, even when their hashes are right."""
    broken = Artifact.open(spoiled)
    assert [line.split(": ")[0] for line in broken.non_finite_arrays()] == [
        str(spoiled / "doctag_vectors.npy"), str(spoiled / "map_syn1neg.npy"), str(spoiled / "syn1neg.npy"),
    ]  # fmt: skip
    size = artifact.arrays["syn1neg"].size
    assert f": 1 of {size:,} numbers are not finite" in broken.non_finite_arrays()[2]
    with pytest.raises(ArtifactError, match="not finite"):
        broken.check_finite()
    assert not artifact.non_finite_arrays()
    assert main(["verify", str(spoiled)]) == 1
    assert "doctag_vectors.npy" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["evaluate"], ["compare"]])
def test_evaluation_refuses_a_model_with_nan(
    command: list[str], artifact: Artifact, spoiled: Path, capsys: Capture
) -> None:
    """evaluate and compare print one line with the array and no results."""
    models = [str(spoiled)] if command == ["evaluate"] else [str(artifact.path), str(spoiled)]
    assert main([*command, *models, "--corpus", "lee", "--at-most", "30"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "doctag_vectors.npy: 1 of " in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("method", ["sgd", "map"])
def test_the_encoder_gives_no_vector_that_is_not_finite(method: str, spoiled: Path) -> None:
    """Documents that do not touch the word are as before."""
    encoder = Encoder(Artifact.open(spoiled), method=method)  # type: ignore[arg-type]
    with pytest.raises(NotFiniteError, match="paravec-model verify"):
        encoder.encode([["police"] * 20])
    many = [["police"] * 20] * 300
    with pytest.raises(NotFiniteError):
        encoder.encode(many)


def test_a_documents_vector_that_is_not_finite_is_not_given(spoiled: Path, tmp_path: Path, capsys: Capture) -> None:
    """Neither in a program nor in a file, of which no part is left; other documents are as before."""
    vectors = paravec_model.load(spoiled).dv
    assert np.isfinite(vectors[[1, 2]]).all()
    for key in (3, [1, 3]):
        with pytest.raises(NotFiniteError, match="paravec-model verify"):
            _ = vectors[key]
    for flags in ([], ["--normalize"]):
        assert main(["export", str(spoiled), str(tmp_path / "out" / "lee.npy"), *flags]) == 1
        assert "a vector is not finite" in capsys.readouterr().err
        assert not list((tmp_path / "out").iterdir())


def test_the_server_answers_internal_instead_of_nan(spoiled: Path) -> None:
    """A call with the broken word gets INTERNAL with an id, and other calls are answered."""
    with running(spoiled, "--method", "map") as server, EmbeddingClient(server.target) as client:
        assert np.isfinite(client.embed("fire in sydney")).all()
        asks: list[Callable[[], object]] = [
            lambda: client.embed("police police police"),
            lambda: client.find_similar("police"),
            lambda: client.document_vectors([1, 3]),
        ]
        for ask in asks:
            with pytest.raises(ServerError) as caught:
                ask()
            assert caught.value.code == "INTERNAL"
            assert "internal error, id " in str(caught.value)
        assert np.isfinite(client.embed("fire in sydney")).all()
        assert np.isfinite(client.document_vectors([1, 2])).all()


def test_evaluation_json_has_no_nan(artifact: Artifact, tmp_path: Path) -> None:
    """--json of a sound model is valid JSON without NaN."""
    figures = tmp_path / "figures.json"
    assert main(["evaluate", str(artifact.path), "--corpus", "lee", "--at-most", "30", "--json", str(figures)]) == 0

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(figures.read_text(), parse_constant=refuse)["figures"]
