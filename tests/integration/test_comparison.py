"""`paravec-model compare`: whether one model may replace another."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from paravec_model.artifact import Artifact
from paravec_model.cli.main import main
from paravec_model.corpus.formats import named_corpus

from .. import parity

DISTINCT = len({text for _, text in named_corpus("lee")})

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Artifacts of the Lee corpus, with doctags: one like that of the session, trained for longer, and others."""
    folder = tmp_path_factory.mktemp("models")
    made = {
        "longer": parity.train(dm=0, epochs=30),
        "larger": parity.train(dm=0, epochs=20, vector_size=60),
        "untrained": parity.train(dm=0, epochs=1, alpha=0.0001),
        "few words": parity.train(dm=0, epochs=20, max_final_vocab=200),
    }
    return {name: parity.to_artifact(model, folder / name, doctags=True).path for name, model in made.items()}


def compared(a: Path, b: Path, folder: Path, *flags: str) -> tuple[int, dict[str, Any]]:
    """The exit status, and what the command writes as JSON."""
    file = folder / "comparison.json"
    status = main(["compare", str(a), str(b), *flags, "--json", str(file)])
    return status, json.loads(file.read_text())


def test_a_copy_is_the_same_model(artifact: Artifact, tmp_path: Path, capsys: Capture) -> None:
    """Wherever it lies; nothing differs."""
    copy = shutil.copytree(artifact.path, tmp_path / "copy")
    status, found = compared(artifact.path, copy, tmp_path, "--corpus", "lee")
    assert (status, found["may_replace"], found["parameters"]) == (0, True, {})
    assert found["figures"]["overlap@10"]["value"] == found["figures"]["same nearest"]["value"] == 1
    assert found["figures"]["rank correlation"]["value"] == pytest.approx(1)
    assert capsys.readouterr().out.splitlines()[-1].startswith("same: test 1 (")


@pytest.mark.parametrize("corpus", [("--corpus", "lee"), ()])
def test_a_similar_model_passes(
    corpus: tuple[str, ...], artifact: Artifact, models: dict[str, Path], tmp_path: Path, capsys: Capture
) -> None:
    """For a model that agrees, compare reports overlap and differences and exits with 0."""
    status, found = compared(artifact.path, models["longer"], tmp_path, *corpus)
    assert (status, found["reasons"], found["documents"]) == (0, [], DISTINCT if corpus else 312)
    assert 0.5 < found["figures"]["overlap@10"]["value"] < 1
    assert found["parameters"]["training.epochs"] == [20, 30]
    assert found["words"]["only A"] == found["words"]["only B"] == 0
    assert ("unknown tokens, A" in found["figures"]) == bool(corpus)
    assert capsys.readouterr().out.splitlines()[-1].startswith("yes: ")


def test_an_untrained_model_fails_with_reasons(artifact: Artifact, models: dict[str, Path], tmp_path: Path) -> None:
    """For a model that learned nothing, compare gives two reasons and exits with 3."""
    status, found = compared(artifact.path, models["untrained"], tmp_path, "--corpus", "lee")
    assert (status, found["may_replace"]) == (3, False)
    assert [reason.split()[0] for reason in found["reasons"]] == ["of", "halves"]


def test_a_bound_by_flag_changes_the_verdict(artifact: Artifact, models: dict[str, Path], tmp_path: Path) -> None:
    """What one user calls too much another does not."""
    loose, strict = ("--min-overlap", "0", "--max-mrr-loss", "1"), ("--min-overlap", "1")
    assert compared(artifact.path, models["untrained"], tmp_path, "--corpus", "lee", *loose)[0] == 0
    assert compared(artifact.path, models["longer"], tmp_path, "--corpus", "lee", *strict)[0] == 3


def test_another_vector_size_must_be_allowed_by_flag(
    artifact: Artifact, models: dict[str, Path], tmp_path: Path, capsys: Capture
) -> None:
    """Another vector size fails unless a flag allows it, since an index of the old vectors cannot hold the new."""
    status, found = compared(artifact.path, models["larger"], tmp_path)
    assert (status, found["reasons"]) == (3, ["vectors have 60 numbers, not 50 (--other-size allows it)"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("no: ")
    assert compared(artifact.path, models["larger"], tmp_path, "--other-size")[0] == 0


def test_a_smaller_vocabulary_is_a_reason_to_fail(artifact: Artifact, models: dict[str, Path], tmp_path: Path) -> None:
    """A vocabulary of 200 words, which knows half of the text, is reported as a reason."""
    status, found = compared(artifact.path, models["few words"], tmp_path, "--corpus", "lee", "--min-overlap", "0")
    assert status == 3
    assert found["words"]["only B"] == 0 < found["words"]["only A"]
    assert any(reason.startswith("the share of unknown tokens rises by 0.") for reason in found["reasons"])


def test_what_cannot_be_compared_is_one_line(artifact: Artifact, tmp_path: Path, capsys: Capture) -> None:
    """Without common doctags or with too few documents, the line says what to name."""
    bare = parity.to_artifact(parity.train(vector_size=8, epochs=1, dm=0), tmp_path / "bare")
    assert main(["compare", str(artifact.path), str(bare.path)]) == 1
    assert "have no doctag in common; name a corpus" in capsys.readouterr().err
    few = tmp_path / "few.txt"
    few.write_text("".join(f"australia government {word}\n" for word in ("police", "fire", "economy", "war", "test")))
    assert main(["compare", str(artifact.path), str(bare.path), "--lines", str(few)]) == 1
    said = capsys.readouterr().err
    assert "5 documents that both models know are too few to compare 10 neighbours on, 20 are needed" in said
    assert said.count("\n") == 1
