"""One NaN in a model: nobody takes what it gives for an answer."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from paravec_client import EmbeddingClient, ServerError
from paravec_model.artifact import Artifact
from paravec_model.cli.main import main
from paravec_model.encoder import Encoder
from paravec_model.errors import ArtifactError, NotFiniteError

from ..servers import running

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def spoiled(artifact: Artifact, tmp_path: Path) -> Path:
    """An artifact made elsewhere, in which each row of one word that counts for both methods holds a NaN."""
    folder = shutil.copytree(artifact.path, tmp_path / "spoiled")
    row = artifact.vocabulary.id_of("police")
    for name in ("syn1neg", "map_syn1neg"):
        array = np.load(folder / f"{name}.npy", "r+")
        array[row, 4] = np.nan
        array.flush()
    return folder


def test_verify_names_the_arrays(artifact: Artifact, spoiled: Path, capsys: Capture) -> None:
    """Even where the hashes are right, since they were made of it."""
    broken = Artifact.open(spoiled)
    assert [line.split(": ")[0] for line in broken.non_finite_arrays()] == [
        str(spoiled / "map_syn1neg.npy"), str(spoiled / "syn1neg.npy"),
    ]  # fmt: skip
    size = artifact.arrays["syn1neg"].size
    assert f": 1 of {size:,} numbers are not finite" in broken.non_finite_arrays()[1]
    with pytest.raises(ArtifactError, match="not finite"):
        broken.check_finite()
    assert not artifact.non_finite_arrays()
    assert main(["verify", str(spoiled)]) == 1
    assert "syn1neg.npy" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["evaluate"], ["compare"]])
def test_no_figures_are_made_of_it(command: list[str], artifact: Artifact, spoiled: Path, capsys: Capture) -> None:
    """One line names the array instead."""
    models = [str(spoiled)] if command == ["evaluate"] else [str(artifact.path), str(spoiled)]
    assert main([*command, *models, "--corpus", "lee", "--at-most", "30"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "syn1neg.npy: 1 of " in said.err
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


def test_no_nan_leaves_the_server(spoiled: Path) -> None:
    """The call fails as one of ours, with an id; others are answered."""
    with running(spoiled, "--method", "map") as server, EmbeddingClient(server.target) as client:
        assert np.isfinite(client.embed("fire in sydney")).all()
        for ask in (client.embed, client.find_similar):
            with pytest.raises(ServerError) as caught:
                ask("police police police")
            assert caught.value.code == "INTERNAL"
            assert "internal error, id " in str(caught.value)
        assert np.isfinite(client.embed("fire in sydney")).all()


def test_a_whole_model_is_evaluated_in_numbers(artifact: Artifact, tmp_path: Path) -> None:
    """What --json writes is JSON, without NaN."""
    figures = tmp_path / "figures.json"
    assert main(["evaluate", str(artifact.path), "--corpus", "lee", "--at-most", "30", "--json", str(figures)]) == 0

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(figures.read_text(), parse_constant=refuse)["figures"]
