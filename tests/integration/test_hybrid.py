"""FindSimilar with words beside vectors, asked of a real server through the clients and the command."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paravec.v1 import embedding_pb2 as pb
from paravec_client import AsyncEmbeddingClient, EmbeddingClient, InvalidArgumentError, UnsupportedError
from paravec_model import load
from paravec_model.artifact import Artifact, read_manifest, verify
from paravec_model.cli.main import main
from paravec_model.errors import ArtifactError
from paravec_model.indexing.index import Target, changed_index, new_index
from paravec_model.indexing.source import Source

from ..calls import stub_of
from ..commands import paravec
from ..servers import Server, running

QUERY = "fire in Sydney"


@pytest.fixture(scope="module")
def hybrid(lexical: Artifact) -> Iterator[Server]:
    """A server of a model with a lexical index."""
    with running(lexical.path) as server:
        yield server


def test_neighbours_are_those_of_the_model_in_the_process(hybrid: Server, lexical: Artifact) -> None:
    """Tags, cosines and scores, for the default weight and for one that the call sets."""
    model = load(lexical.path)
    with EmbeddingClient(hybrid.target) as client:
        info = client.model()
        assert info.lexical_index is lexical.manifest.lexical_index is True
        for weight in (None, 0, 0.3, 1):
            found = client.find_similar(QUERY, 20, lexical_weight=weight)
            expected = model.find_similar(QUERY, 20, lexical_weight=weight)
            assert [(n.tag, n.cosine, n.score) for n in found.neighbours] == [tuple(n) for n in expected]
            if weight is not None:
                assert found.lexical_weight == pytest.approx(weight)
            else:
                assert 0 < found.lexical_weight < 1


def test_the_score_explains_the_order(hybrid: Server) -> None:
    """Neighbours come by score, which is the cosine where there is no lexical part, as for a vector."""
    with EmbeddingClient(hybrid.target) as client:
        vector = client.embed(QUERY)
        text, by_vector, long = client.find_similar([QUERY, vector, "fire in Sydney harbour " * 200], 50)
        scores = [n.score for n in text.neighbours]
        assert scores == sorted(scores, reverse=True) != [n.cosine for n in text.neighbours]
        for found in (by_vector, long):
            assert found.lexical_weight == 0
            assert all(n.score == n.cosine for n in found.neighbours)
        assert by_vector.neighbours == client.find_similar(QUERY, 50, lexical_weight=0).neighbours
        assert client.find_similar(vector, 50, lexical_weight=1).neighbours == by_vector.neighbours


async def ask(target: str, weight: float) -> Any:
    """The neighbours by the asynchronous client."""
    async with AsyncEmbeddingClient(target) as client:
        return await client.find_similar(QUERY, 5, lexical_weight=weight)


def test_all_clients_take_the_weight(hybrid: Server) -> None:
    """The asynchronous client and the command find what the synchronous one finds."""
    with EmbeddingClient(hybrid.target) as client:
        expected = client.find_similar(QUERY, 5, lexical_weight=0.7)
    assert asyncio.run(ask(hybrid.target, 0.7)) == expected
    flags = ("similar", "--top-k", "5", "--lexical-weight", "0.7", QUERY, "--format")
    ran = paravec(hybrid, *flags, "json")
    assert [n["score"] for n in json.loads(ran.stdout)["neighbours"]] == [n.score for n in expected.neighbours]
    shown = paravec(hybrid, *flags, "table").stdout
    assert f"{expected.neighbours[0].score:8.3f}" in shown


@pytest.mark.parametrize("weight", [-0.1, 1.5, float("nan"), "much"])
def test_a_weight_out_of_range_is_invalid(hybrid: Server, weight: Any) -> None:
    """The field is named."""
    with EmbeddingClient(hybrid.target) as client, pytest.raises(InvalidArgumentError) as caught:
        client.find_similar(QUERY, lexical_weight=weight)
    assert caught.value.violations[0].field == "lexical_weight"


def test_a_model_without_an_index_has_nothing_to_weigh(client: EmbeddingClient, server: Server) -> None:
    """A weight above 0 is FAILED_PRECONDITION and says what to do; without one, scores are cosines."""
    assert not client.model().lexical_index
    with pytest.raises(UnsupportedError, match="no lexical index; make one, or leave") as caught:
        client.find_similar(QUERY, lexical_weight=0.5)
    assert caught.value.code == "FAILED_PRECONDITION"
    plain = client.find_similar(QUERY)
    assert client.find_similar(QUERY, lexical_weight=0) == plain
    assert all(n.score == n.cosine for n in plain.neighbours)
    with stub_of(server.target) as stub:
        response = stub.FindSimilar(pb.FindSimilarRequest(queries=[pb.Query(text=QUERY)]))
    assert all(n.score == n.cosine for n in response.results[0].neighbours)


def test_commands_make_artifacts_with_a_lexical_index(tmp_path: Path) -> None:
    """train does so with --lexical, index without --no-lexical; a change keeps the index, or drops it with the flag."""
    trained, indexed, changed = (tmp_path / name for name in ("trained", "indexed", "changed"))
    quick = ("--corpus", "lee", "--epochs", "1", "--vector-size", "10", "--doctags", "--output")
    assert main(["train", *quick, str(trained), "--lexical"]) == 0
    assert read_manifest(trained).lexical_index
    lines = tmp_path / "pages.jsonl"
    pages = ({"id": f"page {n}", "title": f"zorglub{chr(97 + n)}", "body": "fire in Sydney " * n} for n in range(26))
    lines.write_text("".join(json.dumps(page) + "\n" for page in pages))
    fields = ("--jsonl", str(lines), "--id-field", "id", "--field", "title=2", "--field", "body")
    # The documents of the model, and their words, are replaced.
    assert main(["index", str(trained), *fields, "--output", str(indexed)]) == 0
    assert not verify(indexed)
    assert load(indexed).find_similar("zorglubh")[0].tag == "page 7"
    change = ["index", str(indexed), "--remove", "page 7", "--output", str(changed)]
    assert main(change) == 0
    assert not verify(changed)
    assert read_manifest(changed).lexical_index is read_manifest(indexed).lexical_index is True
    assert [near.tag for near in load(changed).find_similar("zorglubh zorglubg", 1)] == ["page 6"]
    for base, flags in ((indexed, change[2:4]), (trained, fields)):
        output = tmp_path / f"bare {base.name}"
        assert main(["index", str(base), *flags, "--no-lexical", "--output", str(output)]) == 0
        assert not verify(output)
        assert read_manifest(output).lexical_index is None


def test_a_changed_index_has_the_digest_of_one_made_at_once(artifact: Artifact, tmp_path: Path) -> None:
    """After documents were removed, replaced and added, several times; the words, too, are those of all documents."""
    pages = [{"id": n, "text": f"page{n} of the fire in Sydney " * (n % 3)} for n in range(16)]

    def written(name: str, some: list[dict[str, Any]]) -> Path:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(page) + "\n" for page in some))
        return path

    source = Source("jsonl", "id", {"text": 1.0})
    target = [Target(tmp_path / f"{n}" / "faq", "faq", "1") for n in range(5)]
    new_index(artifact.path, source, written("first", pages[:9]), target[0])
    changed_index(target[0].output, target[1], add=written("second", pages[9:12]), remove=[[0], [8]])
    other = [{"id": 3, "text": "quite another page"}, *pages[12:]]
    changed_index(target[1].output, target[2], add=written("third", other))
    change = changed_index(target[2].output, target[3], remove=[[9]])
    left = [*(pages[n] for n in (1, 2, 4, 5, 6, 7, 10, 11)), *other]
    made = new_index(artifact.path, source, written("left", left), target[4])
    assert change.manifest.lexical_index
    assert change.manifest.digest == made.digest
    assert not verify(target[3].output)


def test_a_damaged_index_is_not_changed(artifact: Artifact, tmp_path: Path) -> None:
    """The error names the file, in place of an index with other words."""
    path = tmp_path / "lines.txt"
    path.write_text("fire in Sydney\nrain on the coast\n")
    old = tmp_path / "old"
    new_index(artifact.path, Source("lines"), path, Target(old, "old", "1"))
    file = old / "lexical_documents.npy"
    file.write_bytes(file.read_bytes()[:-4] + b"\xff" * 4)
    with pytest.raises(ArtifactError, match=r"lexical_documents\.npy: does not ascend"):
        changed_index(old, Target(tmp_path / "new", "new", "1"), remove=[[0]])


def test_stems_and_words_work_together(tmp_path: Path) -> None:
    """A model with a stemmer finds other forms of a word by stems, whether its vocabulary knows them or not."""
    pytest.importorskip("Stemmer", reason="PyStemmer is not installed")
    model, indexed, changed = (tmp_path / name for name in ("model", "indexed", "changed"))
    quick = ("--corpus", "lee", "--epochs", "1", "--vector-size", "10", "--stem", "english", "--output")
    assert main(["train", *quick, str(model)]) == 0
    lines = tmp_path / "pages.txt"
    lines.write_text("zorglubs were seen\nfires in Sydney\n" + "rain on the coast\n" * 3)
    assert main(["index", str(model), "--lines", str(lines), "--output", str(indexed)]) == 0
    assert main(["index", str(indexed), "--remove", "1", "--output", str(changed)]) == 0
    assert not verify(changed)
    local = load(indexed)
    assert local.find_similar("zorglubbing zorglub", 1)[0].tag == 0
    with running(indexed) as server, EmbeddingClient(server.target) as client:
        for query in ("seeing a zorglub", "the fire"):
            found = client.find_similar(query, 3).neighbours
            assert [(n.tag, n.cosine, n.score) for n in found] == [tuple(n) for n in local.find_similar(query, 3)]
            assert found[0].score > 0
    assert load(changed).find_similar("a zorglub", 1)[0].tag == 0
    # Words alone know forms of equal stems as equal.
    (one, other) = (load(changed).find_similar(text, 1, lexical_weight=1)[0].score for text in ("coast", "coasts"))
    assert one == other > 0


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("train", "--corpus", "lee", "--lexical"), "lexical: needs --doctags"),
        (("index", "BARE", "--remove", "3", "--lexical"), "BARE: has no lexical index to change, and no texts"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    command: tuple[str, ...], problem: str, artifact: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the flag or the artifact."""
    bare = str(artifact.path)
    arguments = [bare if word == "BARE" else word for word in command]
    assert main([*arguments, "--output", str(tmp_path / "new")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"paravec-model: {problem.replace('BARE', bare)}")
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()
