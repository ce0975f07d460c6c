"""Method map against scipy's optimizer, and how training and conversion choose it."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gensim.models.doc2vec import Doc2Vec
from scipy.optimize import minimize
from scipy.special import expit

from paravec.v1 import embedding_pb2 as pb
from paravec_client import EmbeddingClient
from paravec_client import InferenceOptions as ClientOptions
from paravec_model.artifact import Artifact, read_manifest
from paravec_model.cli.main import main
from paravec_model.encoder import Encoder
from paravec_model.errors import ModelError, OptionError
from paravec_model.evaluation.map_center import expanded_around
from paravec_model.options import InferenceOptions
from paravec_server.rpc.errors import InvalidArgumentError
from paravec_server.services.messages import read_options
from paravec_server.settings import Settings

from .. import parity
from ..servers import command, running

MAP = InferenceOptions(method="map")
Floats = npt.NDArray[np.float64]

KINDS: dict[str, dict[str, Any]] = {name: {"dm": 0, **output} for name, output in parity.OUTPUTS.items()}


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Doc2Vec, Artifact]:
    """A DBOW model of each output, well trained, and its artifact."""
    model = parity.train(epochs=20, **KINDS[request.param])
    return model, parity.to_artifact(model, tmp_path_factory.mktemp("map") / "model")


def optimum(model: Doc2Vec, tokens: Sequence[str], map_lambda: float, around: Floats | float = 0.0) -> Floats:
    """Where the objective in map.c's first lines is largest, from gensim's own numbers, by scipy.

    `around`: where the noise term is expanded.
    """
    words = [model.wv.key_to_index[token] for token in tokens if token in model.wv]
    keep = np.minimum(1, model.wv.expandos["sample_int"][words] / 2**32) if model.sample else np.ones(len(words))
    bend = map_lambda * (keep.sum() + 1) * np.eye(model.vector_size)
    rows, weights = [np.empty((0, model.vector_size))], [np.empty(0)]
    slope = np.zeros(model.vector_size)
    if model.negative:
        output, noise = model.syn1neg.astype(np.float64), np.diff(model.cum_table.astype(np.float64), prepend=0)
        noise /= noise.sum()
        share, basis = expit(output @ (slope + around)), np.linalg.eigh(output.T @ (noise[:, None] * output))[1]
        curvature_there = (basis * ((noise * share * (1 - share)) @ (output @ basis) ** 2)) @ basis.T
        slope = model.negative * keep.sum() * ((noise * share) @ output - curvature_there @ (slope + around))
        bend += model.negative * keep.sum() * curvature_there
        rows, weights = [*rows, output[words]], [*weights, keep]
    if model.hs:
        for word, weight in zip(words, keep, strict=True):
            points, codes = model.wv.expandos["point"][word], model.wv.expandos["code"][word]
            rows.append(model.syn1[points] * (1.0 - 2.0 * codes[:, None]))
            weights.append(np.full(len(points), weight))
    v, w = np.concatenate(rows), np.concatenate(weights)

    def loss(d: Floats) -> tuple[float, Floats]:
        margins = v @ d
        value = (w * np.logaddexp(0, -margins)).sum() + slope @ d + d @ bend @ d / 2
        return value, -v.T @ (w * expit(-margins)) + slope + bend @ d

    def curvature(d: Floats) -> Floats:
        margins = v @ d
        return np.asarray(v.T @ ((w * expit(margins) * expit(-margins))[:, None] * v) + bend)

    found = minimize(
        loss, np.zeros(model.vector_size), jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-8}
    )
    return np.asarray(found.x)


def test_map_vectors_are_the_optimum(trained: tuple[Doc2Vec, Artifact]) -> None:
    """Method map ends within 1e-4 of scipy's optimum in double precision, for short and long documents and other λ."""
    model, artifact = trained
    documents = [tokens for tokens in parity.documents(30) if tokens]
    for map_lambda in (0.01, 0.1, 1.0):
        ours = Encoder(artifact).with_map(map_lambda).encode(documents, MAP).vectors
        for tokens, vector in zip(documents, ours, strict=True):
            if any(token in model.wv for token in tokens):
                np.testing.assert_allclose(vector, optimum(model, tokens, map_lambda), rtol=0, atol=1e-4)
            else:
                assert not vector.any()


def test_a_center_is_subtracted_from_the_optimum_around_it(tmp_path: Path) -> None:
    """The noise term is expanded around the mean, and a document without known words keeps its zero vector."""
    model = parity.train(dm=0, epochs=20)
    encoder = Encoder(parity.to_artifact(model, tmp_path / "model"))
    documents, size = parity.documents(30), model.vector_size
    mean = encoder.encode(documents, MAP).vectors.mean(axis=0, dtype=np.float64)
    center = np.linspace(-1, 1, encoder.artifact.arrays["map_mean"].size, dtype=np.float32)
    arrays = expanded_around(mean, encoder.artifact.arrays) | {"map_center": center}
    centered = encoder.with_map(0.1, arrays)
    for tokens, vector in zip(documents, centered.encode(documents, MAP).vectors, strict=True):
        if any(token in model.wv for token in tokens):
            expected = optimum(model, tokens, 0.1, mean) - center[:size]
            np.testing.assert_allclose(vector, expected, rtol=0, atol=1e-4)
        else:
            assert not vector.any()


def test_the_order_of_tokens_does_not_matter(trained: tuple[Doc2Vec, Artifact]) -> None:
    """DBOW knows no order: the same bits, shuffled, alone or among others."""
    encoder, documents = Encoder(trained[1]), parity.documents(30)
    shuffled = [list(np.random.default_rng(1).permutation(tokens)) for tokens in documents]
    made = encoder.encode(documents, MAP).vectors
    np.testing.assert_array_equal(encoder.encode(shuffled, MAP).vectors, made)
    np.testing.assert_array_equal(encoder.encode(documents[7:8], MAP).vectors, made[7:8])


def test_saturated_sigmoids_converge(tmp_path: Path) -> None:
    """With very large weights, where Newton's method alone would oscillate, inference ends with finite vectors."""
    model = parity.train(dm=0, epochs=2)
    model.syn1neg *= 1e3
    artifact = parity.to_artifact(model, tmp_path / "model")
    documents = parity.documents(30)
    vectors = Encoder(artifact).encode(documents, MAP).vectors
    assert np.isfinite(vectors).all()
    near = [optimum(model, tokens, artifact.manifest.map_lambda or 0) for tokens in documents[1:6]]
    np.testing.assert_allclose(vectors[1:6], near, rtol=0, atol=1e-4)


def test_map_reaches_the_optimum_of_a_steep_objective(tmp_path: Path) -> None:
    """With output vectors ten times as long, where steps are short, the optimum is still reached."""
    model = parity.train(dm=0, epochs=2, negative=0, hs=1)
    model.syn1 *= 10
    artifact = parity.to_artifact(model, tmp_path / "model")
    documents = parity.documents(30)[1:6]
    near = [optimum(model, tokens, artifact.manifest.map_lambda or 0) for tokens in documents]
    np.testing.assert_allclose(Encoder(artifact).encode(documents, MAP).vectors, near, rtol=0, atol=1e-4)


def found_by_the_other_half(encoder: Encoder, options: InferenceOptions) -> float:
    """How many halves of Lee's stories find their other half first."""
    even, odd = ([story[start::2] for story in parity.lee()] for start in (0, 1))
    vectors = [encoder.encode(halves, options).vectors for halves in (even, odd)]
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors]
    return float(((unit[0] @ unit[1].T).argmax(axis=1) == np.arange(len(even))).mean())


def test_map_matches_sgd_of_a_hundred_epochs(encoder: Encoder) -> None:
    """Halves of documents find each other as often by map as by sgd of 100 epochs."""
    sgd = found_by_the_other_half(encoder, InferenceOptions(epochs=100))
    assert found_by_the_other_half(encoder, InferenceOptions(method="map")) > sgd - 0.02


def test_train_chooses_lambda_and_method(tmp_path: Path) -> None:
    """By how well halves of documents find each other, which the manifest tells; or it is told."""
    flags = ["train", "--corpus", "lee", "--dm", "0", "--vector-size", "30", "--min-count", "2", "--epochs", "10"]
    assert main([*flags, "--output", str(tmp_path / "chosen")]) == 0
    chosen = read_manifest(tmp_path / "chosen")
    scores = [chosen.training[f"piece_finds_rest_mrr_{method}"] for method in ("map", "sgd")]
    assert chosen.map_lambda is not None
    assert chosen.defaults.method == ("map" if scores[0] >= scores[1] else "sgd")
    encoder = Encoder(Artifact.open(tmp_path / "chosen"))
    best, worst = (
        found_by_the_other_half(encoder.with_map(value), MAP)
        for value in (chosen.map_lambda, 0.01 if chosen.map_lambda > 0.1 else 3)
    )
    assert best >= worst
    told = ["--map-lambda", "0.5", "--infer-method", "sgd"]
    assert main([*flags, *told, "--output", str(tmp_path / "told")]) == 0
    manifest = read_manifest(tmp_path / "told")
    assert (manifest.map_lambda, manifest.defaults.method) == (0.5, "sgd")


TRAIN_SHORT = ["train", "--vector-size", "20", "--min-count", "2", "--epochs", "10", "--infer-method", "map"]


@pytest.fixture(scope="module")
def centered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Lines of 20 words, most of them of one of a thousand topics, and a model that was trained on them."""
    folder = tmp_path_factory.mktemp("centered")
    texts, model = folder / "texts.txt", folder / "model"
    random, words = np.random.default_rng(1), 2000
    zipf = 1 / np.arange(1, words + 1)
    topics = [random.permutation(zipf) for _ in range(1000)]
    shares = (0.3 * zipf + 0.7 * topics[random.integers(len(topics))] for _ in range(1000))
    lines = (random.choice(words, 20, p=share / share.sum()) for share in shares)
    texts.write_text("".join(" ".join(f"w{word}" for word in line) + "\n" for line in lines))
    assert main([*TRAIN_SHORT, "--lines", str(texts), "--tokenizer", "whitespace", "--output", str(model)]) == 0
    return texts, model


def test_train_subtracts_a_center_where_it_gains(
    centered: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Among short texts that are much alike; not if told, where documents keep trained vectors, or for long texts."""
    texts, chosen = centered
    short = [*TRAIN_SHORT, "--lines", str(texts), "--tokenizer", "whitespace"]
    kinds = {
        "told": [*short, "--no-map-center"],
        "tags": [*short, "--doctags"],
        "long": [*TRAIN_SHORT, "--corpus", "lee"],
    }
    for name, flags in kinds.items():
        assert main([*flags, "--output", str(tmp_path / name)]) == 0
    found = {}
    for path in (chosen, *(tmp_path / name for name in kinds)):
        manifest = Artifact.open(path, verify=True).manifest
        found[path.name] = manifest.training["piece_finds_rest_mrr_map"]
        assert manifest.map_centered is (True if path == chosen else None)
        assert ("map_center.npy" in manifest.files) == (path == chosen)
        assert ("map_centered" in manifest.to_json()) == (path == chosen)
    assert found[chosen.name] > found["told"] + 0.01
    capsys.readouterr()
    assert main(["inspect", str(chosen)]) == 0
    assert re.search(r"\nmap\n +lambda +\S+\n +sample +\S+\n +centered +true\n", capsys.readouterr().out)
    assert '"format_version": 3,' in (chosen / "manifest.json").read_text()


def test_indexed_documents_have_the_center_of_their_model(centered: tuple[Path, Path], tmp_path: Path) -> None:
    """Queries and documents are compared after the same center is subtracted from both."""
    texts, path = centered
    assert main(["index", str(path), "--lines", str(texts), "--output", str(tmp_path / "index")]) == 0
    model, index = (Artifact.open(some, verify=True) for some in (path, tmp_path / "index"))
    assert model.manifest.map_centered
    assert index.manifest.map_centered
    documents = texts.read_text().splitlines()
    vectors = Encoder(model).encode(documents).vectors
    np.testing.assert_array_equal(index.arrays["doctag_vectors"], vectors)
    np.testing.assert_array_equal(Encoder(index).encode(documents[:9]).vectors, vectors[:9])


def test_map_has_its_own_sub_sampling_if_told(tmp_path: Path) -> None:
    """Its vectors are those of a model trained with that threshold; sgd's and the other artifact stay as they were."""
    model = parity.train(dm=0, epochs=5)
    model.save(str(tmp_path / "gensim"))
    flags = ["convert", str(tmp_path / "gensim"), "--map-lambda", "0.1"]
    for name, told in (("plain", []), ("own", ["--map-sample", "1e-4"])):
        assert main([*flags, str(tmp_path / name), *told]) == 0
    plain, own = (Encoder(Artifact.open(tmp_path / name)) for name in ("plain", "own"))
    assert (plain.manifest.map_sample, own.manifest.map_sample) == (None, 1e-4)
    documents = [["the", "fire", "of", "the", "government"], ["people"]]
    assert (plain.encode(documents).vectors == own.encode(documents).vectors).all()
    counts = model.wv.expandos["count"]
    ratio = 1e-4 * counts.sum() / counts
    model.wv.expandos["sample_int"] = (np.minimum(np.sqrt(ratio) + ratio, 1) * (2**32 - 1)).astype(np.uint32)
    for vector, tokens in zip(own.encode(documents, MAP).vectors, documents, strict=True):
        np.testing.assert_allclose(vector, optimum(model, tokens, 0.1), rtol=0, atol=1e-4)
    assert '"format_version": 2,' in (tmp_path / "plain" / "manifest.json").read_text()
    assert "map_sample" not in (tmp_path / "plain" / "manifest.json").read_text()
    assert '"format_version": 3,' in (tmp_path / "own" / "manifest.json").read_text()
    assert main(["verify", str(tmp_path / "own")]) == 0


def test_convert_chooses_lambda_by_the_tags(tmp_path: Path) -> None:
    """Without a text at hand; the default stays gensim's method, whose vectors users may have stored."""
    parity.train(dm=0, epochs=20).save(str(tmp_path / "gensim"))
    for name in ("one", "two"):
        assert main(["convert", str(tmp_path / "gensim"), str(tmp_path / name), "--name", "same"]) == 0
    one, two = (read_manifest(tmp_path / name) for name in ("one", "two"))
    assert one.digest == two.digest
    assert one.map_lambda is not None
    assert 0 < one.training["drawn_finds_tag_mrr_map"] <= 1
    assert one.defaults.method == "sgd"


def test_an_artifact_without_map_serves_sgd(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An artifact converted without map has no arrays of it, and method map is refused by name."""
    parity.train(dm=0, epochs=1).save(str(tmp_path / "gensim"))
    assert main(["convert", str(tmp_path / "gensim"), str(tmp_path / "plain"), "--map-lambda", "none"]) == 0
    artifact = Artifact.open(tmp_path / "plain")
    assert not any(name.startswith("map_") for name in artifact.manifest.files)
    encoder = Encoder(artifact)
    assert encoder.methods == ("sgd",)
    encoder.warm_up()
    with pytest.raises(OptionError, match="method: must be sgd"):
        encoder.encode([["the"]], MAP)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--dm", "1", "--infer-method", "map"], "cannot be map, which is for DBOW; this model is dm_mean"),
        (["--dm", "1", "--map-lambda", "1"], "map_lambda: is for DBOW"),
        (["--dm", "1", "--map-sample", "1e-5"], "map_sample: is for DBOW"),
        (["--dm", "0", "--map-lambda", "none", "--map-sample", "1e-5"], "map_sample: needs method map"),
        (["--dm", "0", "--map-lambda", "none", "--infer-method", "map"], "--map-lambda none"),
    ],
)  # fmt: skip
def test_impossible_map_options_are_refused_before_training(
    flags: list[str], problem: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Options of map that the model cannot have are an error before any work."""
    assert main(["train", "--corpus", "lee", "--output", str(tmp_path / "model"), *flags]) == 1
    assert problem in capfd.readouterr().err
    assert not (tmp_path / "model").exists()


def test_a_dm_model_has_no_map(tmp_path: Path) -> None:
    """A DM model offers sgd alone."""
    artifact = parity.to_artifact(parity.train(dm=1, epochs=1), tmp_path / "model")
    assert artifact.manifest.map_lambda is None
    with pytest.raises(ModelError, match="sgd"):
        Encoder(artifact).encode([["the"]], MAP)


def test_a_caller_chooses_the_method(client: EmbeddingClient, encoder: Encoder) -> None:
    """What a caller asks for over the wire is what the encoder makes; gensim's model is used with sgd by default."""
    for asked, method in ((None, "sgd"), ("sgd", "sgd"), ("map", "map")):
        made = client.embed("the fire", ClientOptions(method=asked))  # type: ignore[arg-type]
        options = InferenceOptions(method=method, epochs=20)  # type: ignore[arg-type]
        np.testing.assert_array_equal(made, encoder.encode([["the", "fire"]], options).vectors[0])


def test_an_operator_chooses_the_default_method(artifact: Artifact, encoder: Encoder) -> None:
    """PARAVEC_METHOD, for callers that name none; GetModel tells it."""
    with running(artifact.path, "--method", "map") as server, EmbeddingClient(server.target) as client:
        assert client.model().defaults.method == "map"
        np.testing.assert_array_equal(client.embed("fire"), encoder.encode([["fire"]], MAP).vectors[0])


def test_a_method_that_the_model_has_not_is_refused(tmp_path: Path) -> None:
    """By the server at its start, and by name in a call."""
    plain = parity.to_artifact(parity.train(dm=0, epochs=1), tmp_path / "plain", choose=None)
    done = subprocess.run(command(plain.path, "--method", "map"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "(PARAVEC_METHOD) must be sgd for this model" in done.stderr
    asked = pb.InferenceOptions(method=pb.METHOD_MAP).SerializeToString()
    with pytest.raises(InvalidArgumentError, match=r"options\.method: must be METHOD_SGD for this model"):
        read_options(asked, Encoder(plain), Settings(model=plain.path), "options")
