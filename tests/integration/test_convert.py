"""From gensim's files to artifacts."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import gensim
import numpy as np
import pytest
from gensim.models.doc2vec import Doc2Vec
from gensim.models.keyedvectors import KeyedVectors

from paravec_model.artifact import Artifact
from paravec_model.cli.main import main
from paravec_model.encoder import Encoder
from paravec_model.evaluation.map_lambda import DEFAULT_LAMBDA

from .. import parity


@pytest.mark.parametrize("side_arrays", [False, True])
@pytest.mark.parametrize("architecture", parity.ARCHITECTURES)
def test_converting_a_saved_model_equals_converting_the_live_one(
    architecture: str, side_arrays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that gensim saved, whole or with side arrays, converts to the bytes of the live model's artifact."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    model = parity.train(vector_size=10, epochs=2, **parity.ARCHITECTURES[architecture], **parity.OUTPUTS["both"])
    file = tmp_path / "doc2vec.model"
    model.save(str(file), sep_limit=100 if side_arrays else 10**9)
    assert (tmp_path / "doc2vec.model.syn1neg.npy").exists() == side_arrays
    output = tmp_path / "converted"
    flags = ["--name", "test", "--doctags", *(["--map-lambda", str(DEFAULT_LAMBDA)] if model.sg else [])]
    assert main(["convert", str(file), str(output), *flags]) == 0
    live = parity.to_artifact(model, tmp_path / "live", doctags=True, training={"gensim": gensim.__version__})
    for made in sorted(live.path.iterdir()):
        assert (output / made.name).read_bytes() == made.read_bytes(), made.name


def test_a_converted_model_infers_what_gensim_infers_from_the_file(tmp_path: Path) -> None:
    """Loaded by gensim on one side and converted on the other, a file means the same vectors."""
    file = tmp_path / "doc2vec.model"
    parity.train(dm=0, negative=5).save(str(file))
    assert main(["convert", str(file), str(tmp_path / "converted")]) == 0
    difference = parity.largest_difference(
        Doc2Vec.load(str(file)), Artifact.open(tmp_path / "converted"), parity.documents(30)
    )
    assert difference <= parity.LIMIT


def test_a_missing_side_array_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that lost an array says which one, and leaves no output."""
    file = tmp_path / "doc2vec.model"
    parity.train(vector_size=10, epochs=1, dm=0).save(str(file), sep_limit=100)
    (tmp_path / "doc2vec.model.syn1neg.npy").unlink()
    assert main(["convert", str(file), str(tmp_path / "converted")]) == 1
    error = capsys.readouterr().err
    assert "doc2vec.model.syn1neg.npy: is missing" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "converted").exists()


def test_a_model_that_cannot_infer_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model without output weights, or with several tags concatenated, is refused, as gensim cannot infer with it."""
    model = parity.train(vector_size=10, epochs=1, dm=0)
    del model.syn1neg
    model.save(str(tmp_path / "a"))
    several = parity.train(vector_size=10, epochs=1, dm=1, dm_concat=1, window=2)
    several.dm_tag_count = 2
    several.save(str(tmp_path / "b"))
    assert main(["convert", str(tmp_path / "a"), str(tmp_path / "out")]) == 1
    assert "no syn1neg" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "b"), str(tmp_path / "out")]) == 1
    assert "dm_tag_count" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["syn1neg", "count", "point"])
def test_an_object_with_an_array_interface_is_refused(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An object that claims numpy's array interface, and so any address, is refused unread."""
    model = parity.train(vector_size=10, epochs=1, dm=0, hs=1)
    claims = KeyedVectors(1)
    if where == "syn1neg":
        model.syn1neg = claims
    elif where == "count":
        model.wv.expandos["count"] = claims
    else:
        model.wv.expandos["point"][3] = claims
    # Set last: the numpy of this test would believe it too.
    claims.__dict__ = {"__array_interface__": {"data": (4096, True), "shape": (4,), "typestr": "<u4", "version": 3}}
    file = tmp_path / "doc2vec.model"
    file.write_bytes(pickle.dumps(model, protocol=4))
    assert main(["convert", str(file), str(tmp_path / "out")]) == 1
    assert "is not an array" in capsys.readouterr().err


def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What convert writes can be opened, or is not written."""
    model = parity.train(vector_size=10, epochs=1, dm=0)
    model.wv.expandos["sample_int"] = model.wv.expandos["sample_int"][:-1]
    model.save(str(tmp_path / "a"))
    assert main(["convert", str(tmp_path / "a"), str(tmp_path / "out")]) == 1
    assert "sample_int.npy" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_infinite_learning_rate_is_left_out_of_the_manifest(tmp_path: Path) -> None:
    """A training parameter that JSON cannot hold is left out, and the manifest is valid JSON."""
    model = parity.train(vector_size=10, epochs=1, dm=0)
    model.alpha = float("inf")
    model.save(str(tmp_path / "a"))
    assert main(["convert", str(tmp_path / "a"), str(tmp_path / "out"), "--infer-alpha", "0.05"]) == 0

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    manifest = json.loads((tmp_path / "out/manifest.json").read_text(), parse_constant=refuse)
    assert manifest["defaults"]["alpha"] == 0.05
    assert "alpha" not in manifest["training"]


@pytest.mark.slow
@pytest.mark.parametrize("sep_limit", [100, 10**12])
def test_memory_stays_within_one_and_a_half_models(sep_limit: int, tmp_path: Path) -> None:
    """Converting a model of 120 MB takes at most 1.5 times that, arrays beside the pickle or in it."""
    model = Doc2Vec(dm=0, vector_size=300, min_count=1)
    model.build_vocab_from_freq({f"w{n}": 10**6 // (n + 1) for n in range(100_000)}, corpus_count=1)
    model.syn1neg[:] = np.random.default_rng(1).standard_normal(model.syn1neg.shape, np.float32)
    file = tmp_path / "doc2vec.model"
    model.save(str(file), sep_limit=sep_limit)
    size = sum(f.stat().st_size for f in tmp_path.iterdir())
    code = (
        "import resource, sys; from paravec_model.cli import main; from paravec_model.convert import export;"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024; before = peak();"
        "code = main.main(['convert', *sys.argv[1:]]); print(peak() - before, file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, str(file), str(tmp_path / "converted")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(ran.stderr.splitlines()[-1]) <= 1.5 * size
    assert (Artifact.open(tmp_path / "converted", verify=True).arrays["syn1neg"][:, :300] == model.syn1neg).all()
    assert Encoder(Artifact.open(tmp_path / "converted")).encode([["w1"]]).vectors.any()
