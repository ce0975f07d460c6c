"""`paravec-model index`: documents that a model was not trained on, made, changed, served and searched."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from gensim.test.utils import datapath
from google.rpc import error_details_pb2

import paravec_model
from paravec.v1 import embedding_pb2 as pb
from paravec_client import EmbeddingClient, InferenceOptions, InvalidArgumentError
from paravec_model.artifact import Artifact
from paravec_model.artifact.manifest import MANIFEST, read_manifest
from paravec_model.cli.main import main
from paravec_model.errors import ArtifactError, OptionError
from paravec_model.indexing import infer
from paravec_model.indexing.index import Target, new_index
from paravec_model.indexing.source import Source

from .. import parity
from ..calls import details, stub_of
from ..commands import paravec
from ..servers import PATIENCE, running

Capture = pytest.CaptureFixture[str]
Entry = dict[str, Any]


def stories() -> list[Entry]:
    """50 news stories that the model was not trained on: their first words as title, an id of either kind."""
    lines = Path(datapath("lee.cor")).read_text("latin-1").splitlines()
    words = [line.split() for line in lines if line.strip()]
    return [
        {"id": i if i % 2 else f"story {i}", "title": " ".join(some[:8]), "body": " ".join(some[8:])}
        for i, some in enumerate(words)
    ]


def write(path: Path, entries: Sequence[Entry]) -> Path:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def index(model: Path, output: Path, *flags: str | Path) -> Artifact:
    """Run the command in this process, and open what it wrote."""
    assert main(["index", str(model), "--output", str(output), *map(str, flags)]) == 0
    return Artifact.open(output, verify=True)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """The stories as JSON lines."""
    return write(tmp_path / "docs.jsonl", stories())


FIELDS = ("--id-field", "id", "--field", "title=2", "--field", "body")


@pytest.fixture(scope="module")
def indexed(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An index of the stories by method map; the model's default is sgd."""
    folder = tmp_path_factory.mktemp("indexed")
    docs = write(folder / "docs.jsonl", stories())
    return index(artifact.path, folder / "stories", "--jsonl", docs, *FIELDS, "--infer-method", "map")


def test_the_command_says_what_it_made(artifact: Artifact, tmp_path: Path) -> None:
    """One line names artifact, digest, documents, and how many can never be found; export and verify read it."""
    docs = write(tmp_path / "docs.jsonl", [*stories(), {"id": "?", "title": "", "body": "xyzzy"}])
    command = [sys.executable, "-m", "paravec_model.cli"]
    made: list[str | Path] = [*command, "index", artifact.path, "--jsonl", docs, *FIELDS, "--output", tmp_path / "faq"]
    ran = subprocess.run([*made, "--model-version", "3"], capture_output=True, text=True, check=True)
    manifest = read_manifest(tmp_path / "faq")
    assert ran.stderr == ""
    assert ran.stdout == (
        f"{tmp_path / 'faq'}: faq 3 {manifest.digest}, 51 documents,"
        " 1 without a word that the model knows, which are found by words only\n"
    )
    assert manifest.index is not None
    assert (manifest.index.model, manifest.index.without_known_words) == (artifact.manifest.digest, 1)
    assert manifest.defaults == artifact.manifest.defaults
    ran = subprocess.run([*command, "verify", tmp_path / "faq"], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith(": sound\n")
    subprocess.run([*command, "export", tmp_path / "faq", tmp_path / "faq.npy"], capture_output=True, check=True)
    assert json.loads((tmp_path / "faq.tags.json").read_text()) == [*(entry["id"] for entry in stories()), "?"]
    assert not np.load(tmp_path / "faq.npy")[-1].any()


def test_a_document_of_one_field_has_the_vector_of_its_text(artifact: Artifact, docs: Path, tmp_path: Path) -> None:
    """It is what embed gives with the same options, so each text finds itself first."""
    flags = ("--id-field", "id", "--field", "body", "--infer-epochs", "7", "--infer-seed", "3")
    index(artifact.path, tmp_path / "one", "--jsonl", docs, *flags)
    model = paravec_model.load(tmp_path / "one")
    texts = [entry["body"] for entry in stories()]
    np.testing.assert_array_equal(model.dv.vectors, model.embed(texts))
    assert [found[0].tag for found in model.find_similar(texts, 1)] == [entry["id"] for entry in stories()]
    assert (model.manifest.defaults.epochs, model.manifest.defaults.seed) == (7, 3)


def test_fields_are_combined_by_their_weights(artifact: Artifact, indexed: Artifact) -> None:
    """A document lies at the weighted mean of its fields' unit vectors."""
    model = paravec_model.load(artifact.path)
    titles, bodies = (
        model.embed([entry[field] for entry in stories()], method="map", normalize=True) for field in ("title", "body")
    )
    mean = np.where(titles.any(axis=1, keepdims=True), (2 * titles + bodies) / 3, bodies)
    np.testing.assert_allclose(indexed.arrays["doctag_vectors"], mean, atol=1e-6)


def test_normalize_gives_combined_vectors_unit_length(artifact: Artifact, docs: Path, tmp_path: Path) -> None:
    """The option holds for documents as it does for queries."""
    made = index(artifact.path, tmp_path / "unit", "--jsonl", docs, *FIELDS, "--infer-normalize")
    np.testing.assert_allclose(made.arrays["doctag_norms"], 1, rtol=1e-6)


def test_other_formats_give_the_same_documents(artifact: Artifact, tmp_path: Path) -> None:
    """CSV, a folder and lines give the vectors that JSON lines give; each has ids of its own."""
    texts = [" ".join(entry["body"].split()) for entry in stories()]
    with (tmp_path / "docs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["key", "text"], *([f"k{i}", text] for i, text in enumerate(texts))])
    (tmp_path / "docs.txt").write_text("\n\n".join(texts) + "\n")
    (tmp_path / "docs").mkdir()
    for i, text in enumerate(texts):
        (tmp_path / "docs" / f"{i:02}.txt").write_text(text)
    found = {
        "csv": index(artifact.path, tmp_path / "csv", "--csv", tmp_path / "docs.csv", "--column", "text=3",
                     "--id-column", "key"),
        "folder": index(artifact.path, tmp_path / "folder", "--folder", tmp_path / "docs"),
        "lines": index(artifact.path, tmp_path / "lines", "--lines", tmp_path / "docs.txt"),
    }  # fmt: skip
    assert [list(one.doctags)[1] for one in found.values()] == ["k1", "01.txt", 2]
    first, *others = (one.arrays["doctag_vectors"] for one in found.values())
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_the_digest_depends_on_nothing_but_the_input(
    artifact: Artifact, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the number of threads nor the order of the fields nor an index in between changes it."""
    monkeypatch.setattr(infer, "_BATCH_DOCUMENTS", 3)
    source = Source("jsonl", "id", {"title": 2.0, "body": 1.0})
    made = [
        new_index(artifact.path, source, docs, Target(tmp_path / f"{threads}" / "faq", "faq", "1"), threads=threads)
        for threads in (1, 5)
    ]
    swapped = ("--id-field", "id", "--field", "body=1", "--field", "title=2", "--name", "faq")
    made.append(index(artifact.path, tmp_path / "swapped", "--jsonl", docs, *swapped).manifest)
    made.append(index(tmp_path / "1" / "faq", tmp_path / "again", "--jsonl", docs, *swapped).manifest)
    assert len({manifest.digest for manifest in made}) == 1


def test_a_changed_index_equals_one_made_anew(artifact: Artifact, tmp_path: Path, capsys: Capture) -> None:
    """--remove and --add give the digest of an index of the documents that are left, in order, and the new ones."""
    entries = stories()
    old, new = entries[:30], [dict(entries[4], body="Cricket, again."), *entries[30:]]
    unknown = {"id": "?", "title": "xyzzy", "body": ""}
    first = write(tmp_path / "first.jsonl", [*old, unknown])
    second = write(tmp_path / "second.jsonl", new)
    index(artifact.path, tmp_path / "first", "--jsonl", first, *FIELDS)
    flags = ("--add", second, "--remove", "1", "story 2", "--name", "faq")
    changed = index(tmp_path / "first", tmp_path / "changed", *flags)
    said = capsys.readouterr().out
    assert "49 documents, 20 added, 1 replaced, 2 removed, 1 without a word" in said
    left = [*(entry for entry in old if entry["id"] not in (1, "story 2", "story 4")), unknown, *new]
    anew = index(artifact.path, tmp_path / "faq", "--jsonl", write(tmp_path / "left.jsonl", left), *FIELDS)
    assert changed.manifest.digest == anew.manifest.digest
    fewer = index(tmp_path / "changed", tmp_path / "fewer", "--remove", "?", "--remove", "3")
    assert list(fewer.doctags) == [tag for tag in anew.doctags if tag not in ("?", 3)]
    assert fewer.manifest.index is not None
    assert fewer.manifest.index.without_known_words == 0


def test_find_similar_searches_an_index(indexed: Artifact) -> None:
    """A server, a stock stub and both commands find the documents by the method that indexed them."""
    body = stories()[9]["body"]
    # A server's method for calls that name none does not change how documents are searched.
    with running(indexed.path, "--method", "sgd") as server, stub_of(server.target) as stub:
        response = stub.FindSimilar(pb.FindSimilarRequest(queries=[pb.Query(text=body)], top_k=3), timeout=PATIENCE)
        assert response.method == pb.METHOD_MAP
        assert response.results[0].neighbours[0].number == 9
        with EmbeddingClient(server.target) as client:
            assert client.model().document_count == 50
            expected = indexed.arrays["doctag_vectors"][[9, 0]]
            np.testing.assert_array_equal(client.document_vectors([9, "story 0"]), expected)
            found = client.find_similar(body, 3, InferenceOptions(method="map")).neighbours
            local = paravec_model.load(indexed.path).find_similar(body, 3)
            assert [(near.tag, near.cosine, near.score) for near in found] == [tuple(near) for near in local]
        shown = paravec(server, "similar", "--format", "json", "--top-k", "1", body)
        assert json.loads(shown.stdout)["neighbours"][0]["tag"] == 9


def test_a_query_by_another_method_is_refused(indexed: Artifact, artifact: Artifact) -> None:
    """Its vector is not comparable with the documents': the error names the option and the method."""
    with running(indexed.path) as server, stub_of(server.target) as stub:
        options = pb.InferenceOptions(method=pb.METHOD_SGD)
        with pytest.raises(grpc.RpcError) as caught:
            stub.FindSimilar(pb.FindSimilarRequest(queries=[pb.Query(text="fire")], options=options), timeout=PATIENCE)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        (violation,) = details(caught.value, error_details_pb2.BadRequest).field_violations
        assert violation.field == "options.method"
        assert violation.description == "must be METHOD_MAP for this model, which indexed its documents"
        with EmbeddingClient(server.target) as client:
            assert client.embed("fire", InferenceOptions(method="sgd")).any()
            with pytest.raises(InvalidArgumentError):
                client.find_similar("fire", options=InferenceOptions(method="sgd"))
    model = paravec_model.load(indexed.path, method="sgd")
    with pytest.raises(OptionError, match="method: must be map, which indexed the documents"):
        model.find_similar("fire", method="sgd")
    assert model.find_similar("fire") == paravec_model.load(indexed.path).find_similar("fire")
    assert paravec_model.load(artifact.path).find_similar("fire", method="map")


def test_evaluate_looks_for_indexed_documents_by_their_method(indexed: Artifact, docs: Path, capsys: Capture) -> None:
    """The other method's column is empty there, as its vectors cannot be compared with the documents'."""
    flags = ("--jsonl", str(docs), "--field", "body", "--tag-field", "id")
    assert main(["evaluate", str(indexed.path), *flags]) == 0
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines() if line.startswith("text finds its indexed tag")]
    assert [row[-4] for row in rows] == ["–"] * 4
    assert "text finds its trained tag" not in shown


GOOD = '{"id": 1, "title": "a", "body": "b"}\n'


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (GOOD * 2, "line 2: id 1 is there twice; each document needs its own"),
        ('{"id": "\\ud800", "title": "a", "body": "b"}\n', "line 1: its tag or id has a lone surrogate"),
        ('{"id": "x", "title": "a", "body": "b"}\n' * 2, "line 2: id 'x' is there twice"),
        (GOOD + "{", "line 2: is not JSON"),
        (GOOD + '{"id": 2, "title": "a"}', "line 2: has no field 'body'"),
        (GOOD + '{"id": 2, "title": "a", "body": ["secret"]}', "line 2: field 'body' must be a string, not a list"),
        (GOOD + '{"title": "a", "body": "secret"}', "line 2: has no field 'id'"),
        (GOOD + '{"id": 1.5, "title": "a", "body": "secret"}', "line 2: a tag must be a string, an integer"),
        (GOOD + '{"id": [1, 2], "title": "a", "body": "secret"}', "line 2: an id must be a string or an integer"),
        ("\n", "holds no documents"),
    ],
)
def test_a_bad_document_is_named(artifact: Artifact, tmp_path: Path, capsys: Capture, content: str, says: str) -> None:
    """One line names file and line, no document's text, and nothing is left."""
    file = tmp_path / "docs.jsonl"
    file.write_text(content)
    flags = ("--jsonl", str(file), *FIELDS, "--output", str(tmp_path / "out"))
    assert main(["index", str(artifact.path), *flags]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"paravec-model: {file}")
    assert says in said
    assert "secret" not in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--remove", "9" * 5000), "has no document with the id '999"),
        (("--remove", "01"), "has no document with the id '01'"),
        (("--remove", "99"), "has no document with the id '99', which is to be removed"),
        (("--remove", *(str(entry["id"]) for entry in stories())), "no document would be left"),
        (("--add", "gone.jsonl"), "gone.jsonl: No such file or directory"),
        (("--lines", "gone.txt"), "gone.txt: No such file or directory"),
        (("--jsonl", "x", "--field", "a=0"), "field: the weight of 'a' must be above 0 and at most 1e+06"),
        (("--jsonl", "x", "--field", "a=nan"), "field: the weight of 'a' must be above 0"),
        (("--jsonl", "x", "--field", "a=2", "--field", "a"), "field: 'a' is there twice"),
        (("--lines", "x", "--infer-epochs", "0"), "infer_epochs: must be 1 to 100000, not 0"),
        (("--lines", "x", "--name", "a/b"), "name: 'a/b' must be"),
    ],
)
def test_a_bad_flag_is_named(
    indexed: Artifact, tmp_path: Path, capsys: Capture, flags: tuple[str, ...], says: str
) -> None:
    """The error is one line, and nothing is left."""
    assert main(["index", str(indexed.path), "--output", str(tmp_path / "out"), *flags]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_only_an_index_with_ids_can_be_added_to(artifact: Artifact, tmp_path: Path, capsys: Capture) -> None:
    """Trained documents, and documents that are numbered by their lines, get no others beside them."""
    (tmp_path / "docs.txt").write_text("fire in Sydney\n")
    index(artifact.path, tmp_path / "lines", "--lines", tmp_path / "docs.txt")
    for model, says in ((artifact.path, "its documents were trained"), (tmp_path / "lines", "have numbers in place")):
        assert main(["index", str(model), "--add", str(tmp_path / "docs.txt"), "--output", str(tmp_path / "out")]) == 1
        assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"title": "2"}, "field: the weight of 'title' must be above 0"), ({}, "field: documents of jsonl have named")],
)
def test_a_wrong_index_section_is_refused(indexed: Artifact, tmp_path: Path, fields: dict[str, Any], says: str) -> None:
    """A manifest from outside may say anything of its documents, and be sealed; the error names the manifest."""
    copy = shutil.copytree(indexed.path, tmp_path / "copy")
    manifest = read_manifest(copy)
    assert manifest.index is not None
    manifest.index.fields.clear()
    manifest.index.fields.update(fields)
    (copy / MANIFEST).write_text(replace(manifest, digest="").to_json())
    with pytest.raises(ArtifactError, match=f"{MANIFEST}: {says}"):
        Artifact.open(copy)


def test_a_model_of_pv_dm_indexes_by_sgd_only(docs: Path, tmp_path: Path, capsys: Capture) -> None:
    """Its documents find themselves; method map, which it lacks, is refused by the name of the flag."""
    model = parity.to_artifact(parity.train(dm=1, epochs=1), tmp_path / "dm").path
    flags = ("--jsonl", docs, "--id-field", "id", "--field", "body")
    index(model, tmp_path / "index", *flags)
    assert paravec_model.load(tmp_path / "index").find_similar(stories()[3]["body"], 1)[0].tag == 3
    capsys.readouterr()
    refused = [*map(str, flags), "--infer-method", "map", "--output", str(tmp_path / "out")]
    assert main(["index", str(model), *refused]) == 1
    assert "infer_method: must be sgd for this model, not map" in capsys.readouterr().err


def test_a_damaged_model_is_not_copied(artifact: Artifact, docs: Path, tmp_path: Path, capsys: Capture) -> None:
    """A file of the model that is not the one of its manifest is named."""
    copy = shutil.copytree(artifact.path, tmp_path / "copy")
    data = bytearray((copy / "syn1neg.npy").read_bytes())
    data[-1] ^= 1
    (copy / "syn1neg.npy").write_bytes(data)
    assert main(["index", str(copy), "--jsonl", str(docs), *FIELDS, "--output", str(tmp_path / "out")]) == 1
    assert "syn1neg.npy: its SHA-256 differs" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
