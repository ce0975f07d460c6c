"""Models with a stemmer and stop words, from training with gensim to a server of them."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc
from paravec_client import EmbeddingClient
from paravec_model import load
from paravec_model.artifact import Artifact, read_manifest, verify
from paravec_model.artifact.manifest import MANIFEST, _hash, _text
from paravec_model.cli.main import main
from paravec_model.encoder import Encoder
from paravec_model.errors import ArtifactError
from paravec_model.text.tokenizer import SimpleTokenizer, TermTokenizer

from ..calls import connect
from ..servers import running

STOP_WORDS = ("and", "of", "the")
TEXTS = ["The fires and bushfires of Sydney", "fire, bushfire: Sydney", "and", "", "zzzz burnings burnings"]


@pytest.fixture(scope="module")
def stemmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of English stems that the command trains on gensim's Lee corpus."""
    folder = tmp_path_factory.mktemp("terms")
    stop_words = folder / "stop.txt"
    stop_words.write_text("# articles and such\nThe\nof and\n", "utf-8")
    flags = ["--corpus", "lee", "--vector-size", "16", "--epochs", "2", "--min-count", "2", "--doctags"]
    terms = ["--stem", "english", "--stop-words", str(stop_words)]
    assert main(["train", *flags, *terms, "--output", str(folder / "model")]) == 0
    return folder / "model"


def changed(source: Path, target: Path, **tokenizer: Any) -> Path:
    """A copy of the artifact whose manifest, as another program could have made it, has this tokenizer."""
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).hardlink_to(file)
    content = json.loads((source / MANIFEST).read_text())
    content["tokenizer"] |= tokenizer
    content["digest"] = _hash(content, without=("created", "tool", "digest", "checksum"))
    content["checksum"] = _hash(content, without=("checksum",))
    (target / MANIFEST).unlink()
    (target / MANIFEST).write_text(_text(content))
    return target


def test_training_learns_stems_and_no_stop_words(stemmed: Path) -> None:
    """The manifest declares the tokenizer, and the vocabulary holds what it makes."""
    assert verify(stemmed) == []
    artifact = Artifact.open(stemmed)
    tokenizer = TermTokenizer(SimpleTokenizer(), "english", version("PyStemmer"), STOP_WORDS)
    assert artifact.manifest.tokenizer == tokenizer
    words = set(artifact.vocabulary)
    assert tokenizer("The bushfires and policemen") == ["bushfir", "policemen"]
    assert {"bushfir", "polic", "fire"} <= words
    assert not words & {*STOP_WORDS, "bushfires", "police", "fires"}


def test_a_server_embeds_stems(stemmed: Path) -> None:
    """Over gRPC, a text gets the vector of its stems, the same as in the process, however its words end."""
    encoder = Encoder(Artifact.open(stemmed))
    right = encoder.encode([encoder.tokenize(text) for text in TEXTS])
    assert right.known_token_counts == [3, 3, 0, 0, 2]
    with running(stemmed) as server, EmbeddingClient(server.target) as client, connect(server.target) as channel:
        for _ in range(3):
            np.testing.assert_array_equal(client.embed(TEXTS), right.vectors)
        np.testing.assert_array_equal(client.embed([encoder.tokenize(text) for text in TEXTS]), right.vectors)
        stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        answer = stub.Embed(pb.EmbedRequest(documents=[pb.Document(text=text) for text in TEXTS]))
        assert [one.token_count for one in answer.embeddings] == [3, 3, 0, 0, 3]
        declared = client.model().tokenizer
    assert declared == {
        "kind": "simple", "lowercase": True, "min_len": 2, "max_len": 15,
        "stemmer": "english", "stemmer_version": version("PyStemmer"), "stop_words": STOP_WORDS,
    }  # fmt: skip
    np.testing.assert_array_equal(load(stemmed).embed(TEXTS), right.vectors)


def test_evaluation_and_inspection_take_the_stems(stemmed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`evaluate` measures with the model's tokenizer, `inspect` shows it, with the number of stop words."""
    assert main(["inspect", str(stemmed)]) == 0
    assert "3 words" in capsys.readouterr().out
    assert main(["inspect", "--json", str(stemmed)]) == 0
    assert json.loads(capsys.readouterr().out)["tokenizer"]["stop_words"] == [*STOP_WORDS]
    assert main(["evaluate", str(stemmed), "--corpus", "lee"]) == 0
    assert "half finds half" in capsys.readouterr().out


def test_stems_of_another_version_are_not_served(stemmed: Path, tmp_path: Path) -> None:
    """A model whose stems another version of PyStemmer made is one line at the start of a server, and in a process."""
    other = changed(stemmed, tmp_path / "other", stemmer_version="2.0.0")
    with pytest.raises(ArtifactError, match=r"^.*other: stemmer: needs PyStemmer 2\.0\.0, "):
        load(other)
    command = [sys.executable, "-m", "paravec_server.cli", "--model", str(other), "--listen", "127.0.0.1:0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert len(ended.stderr.splitlines()) == 1
    assert "needs PyStemmer 2.0.0" in ended.stderr


def test_a_missing_stemmer_is_one_line(stemmed: Path, tmp_path: Path) -> None:
    """A server and a training say what to install; commands that make no vectors do without it."""
    (tmp_path / "Stemmer.py").write_text("raise ImportError('is not installed')")
    where = os.environ | {"PYTHONPATH": str(tmp_path)}
    train = ("--corpus", "lee", "--stem", "english", "--output", str(tmp_path / "model"))
    for command, status in (
        (("paravec_server.cli", "--model", str(stemmed), "--listen", "127.0.0.1:0"), False),
        (("paravec_model.cli", "train", *train), False),
        (("paravec_model.cli", "verify", str(stemmed)), True),
        (("paravec_model.cli", "inspect", str(stemmed)), True),
    ):
        ended = subprocess.run([sys.executable, "-m", *command], env=where, capture_output=True, text=True, check=False)
        assert (ended.returncode == 0) is status, ended.stderr
        if not status:
            assert len(ended.stderr.splitlines()) == 1
            assert "stemmer: needs PyStemmer: pip install 'paravec[stem]'" in ended.stderr


def test_an_unknown_language_is_refused_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line lists the languages."""
    flags = ["--corpus", "lee", "--stem", "klingon", "--output", str(tmp_path / "model")]
    assert main(["train", *flags]) == 1
    assert "stemmer: 'klingon' is not known; PyStemmer has " in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_artifacts_without_a_stemmer_say_nothing_of_it(artifact: Artifact) -> None:
    """So their digests are what they were, and an older paravec reads them."""
    declared = json.loads(read_manifest(artifact.path).to_json())["tokenizer"]
    assert declared.keys() == {"kind", "lowercase", "deaccent", "min_len", "max_len"}
