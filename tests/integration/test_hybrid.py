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
from paravec_model.lexical.index import default_weight

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
        assert info.lexical_length == lexical.manifest.lexical_length
        for weight in (None, 0, 0.3, 1):
            found = client.find_similar(QUERY, 20, lexical_weight=weight)
            expected = model.find_similar(QUERY, 20, lexical_weight=weight)
            assert [(n.tag, n.cosine, n.score) for n in found.neighbours] == [tuple(n) for n in expected]
            used = default_weight(3, info.lexical_length) if weight is None else weight
            assert found.lexical_weight == pytest.approx(used)


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
    assert client.model().lexical_length == 0
    with pytest.raises(UnsupportedError, match="no lexical index; make it with --lexical") as caught:
        client.find_similar(QUERY, lexical_weight=0.5)
    assert caught.value.code == "FAILED_PRECONDITION"
    plain = client.find_similar(QUERY)
    assert client.find_similar(QUERY, lexical_weight=0) == plain
    assert all(n.score == n.cosine for n in plain.neighbours)
    with stub_of(server.target) as stub:
        response = stub.FindSimilar(pb.FindSimilarRequest(queries=[pb.Query(text=QUERY)]))
    assert all(n.score == n.cosine for n in response.results[0].neighbours)


def test_commands_make_artifacts_with_a_lexical_index(tmp_path: Path) -> None:
    """train and index find documents by words with --lexical; a changed index loses them only if one says so."""
    trained, indexed, changed = (tmp_path / name for name in ("trained", "indexed", "changed"))
    quick = ("--corpus", "lee", "--epochs", "1", "--vector-size", "10", "--doctags", "--output")
    assert main(["train", *quick, str(trained), "--lexical"]) == 0
    assert read_manifest(trained).lexical_length
    lines = tmp_path / "pages.jsonl"
    pages = ({"id": f"page {n}", "title": f"zorglub{chr(97 + n)}", "body": "fire in Sydney " * n} for n in range(26))
    lines.write_text("".join(json.dumps(page) + "\n" for page in pages))
    fields = ("--jsonl", str(lines), "--id-field", "id", "--field", "title=2", "--field", "body")
    # The documents of the model, and their words, are replaced.
    assert main(["index", str(trained), *fields, "--lexical", "--output", str(indexed)]) == 0
    assert not verify(indexed)
    assert load(indexed).find_similar("zorglubh")[0].tag == "page 7"
    change = ["index", str(indexed), "--remove", "page 7", "--output", str(changed)]
    assert main(change) == 1
    assert main([*change, "--no-lexical"]) == 0
    assert read_manifest(changed).lexical_length is None
    assert not verify(changed)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("train", "--corpus", "lee", "--lexical"), "lexical: needs --doctags"),
        (("index", "OLD", "--remove", "3", "--lexical"), "OLD: a lexical index is made of all documents at once"),
        (("index", "OLD", "--remove", "3"), "OLD: a lexical index is made of all documents at once"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    command: tuple[str, ...], problem: str, lexical: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the flag or the artifact."""
    old = str(lexical.path)
    arguments = [old if word == "OLD" else word for word in command]
    assert main([*arguments, "--output", str(tmp_path / "new")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"paravec-model: {problem.replace('OLD', old)}")
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()
