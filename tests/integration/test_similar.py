"""FindSimilar, asked of a real server: what it finds, and what it refuses."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from benchmarks.models import random_model
from gensim.models.doc2vec import Doc2Vec
from google.rpc import error_details_pb2

from paravec.v1 import embedding_pb2 as pb
from paravec_client import EmbeddingClient, InferenceOptions, InvalidArgumentError, SimilarDocuments, UnsupportedError
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder

from .. import parity
from ..calls import details, stub_of
from ..servers import PATIENCE, running


def tokens(*content: str) -> pb.Query:
    """A query of tokens."""
    return pb.Query(tokens=pb.TokenList(tokens=content))


def vector(*values: float) -> pb.Query:
    """A query that is a vector."""
    return pb.Query(vector=pb.Vector(values=values))


def test_find_similar_returns_gensims_neighbours(stub: Any, encoder: Encoder, gensim_model: Doc2Vec) -> None:
    """Queries of text, tokens and vectors get most_similar's tags in order, with counts and the model's identity."""
    content = "The fire in Sydney spread, xyzzy!"
    inferred = encoder.encode([encoder.tokenize(content), ["fire", "Fire"]]).vectors
    queries = [pb.Query(text=content), vector(*gensim_model.dv.vectors[7]), tokens("fire", "Fire"), pb.Query(text="")]
    response = stub.FindSimilar(pb.FindSimilarRequest(queries=queries, top_k=20))
    assert response.model.digest == encoder.manifest.digest
    for result, asked in zip(response.results, (inferred[0], gensim_model.dv.vectors[7], inferred[1]), strict=False):
        found = {getattr(near, near.WhichOneof("tag")): near.cosine for near in result.neighbours}
        theirs = dict(gensim_model.dv.most_similar([asked], topn=400))
        assert np.allclose(list(found.values()), list(theirs.values())[:20], atol=1e-5)
        assert all(abs(theirs[tag] - cosine) < 1e-5 for tag, cosine in found.items())
    assert not response.results[3].neighbours
    counts = [(r.token_count, r.known_token_count) for r in response.results]
    assert counts == [(6, 5), (0, 0), (2, 1), (0, 0)]


def test_top_k_defaults_to_ten(stub: Any) -> None:
    """Without top_k ten neighbours come, else as many as asked for."""
    for top_k, count in ((None, 10), (1, 1), (100, 100)):
        response = stub.FindSimilar(pb.FindSimilarRequest(queries=[tokens("fire")], top_k=top_k))
        assert len(response.results[0].neighbours) == count


def test_options_reach_the_search(client: EmbeddingClient, encoder: Encoder) -> None:
    """Vectors are inferred as Embed infers them with the same options; a text too long can be cut."""
    options = InferenceOptions(epochs=3, seed=9, truncate=True)
    text = "fire in sydney harbour " * 600
    by_vector = client.find_similar([client.embed(text, options)])[0]
    by_text = client.find_similar(text, options=options)
    assert by_text.neighbours == by_vector.neighbours
    assert (by_text.token_count, by_text.known_token_count, by_text.truncated) == (2400, 1500, True)
    assert client.find_similar("fire", options=InferenceOptions(normalize=True)).neighbours[0].tag == (
        client.find_similar("fire").neighbours[0].tag
    )


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.FindSimilarRequest(), "queries"),
        (pb.FindSimilarRequest(queries=[tokens("a")] * 65), "queries"),
        (pb.FindSimilarRequest(queries=[tokens("a"), pb.Query()]), "queries[1]"),
        (pb.FindSimilarRequest(queries=[pb.Query(text="word " * 2001)]), "queries[0].text"),
        (pb.FindSimilarRequest(queries=[tokens(*["a"] * 2001)]), "queries[0].tokens"),
        (pb.FindSimilarRequest(queries=[tokens("a"), vector(*[1] * 49)]), "queries[1].vector"),
        (pb.FindSimilarRequest(queries=[vector(*[1] * 49, float("nan"))]), "queries[0].vector"),
        (pb.FindSimilarRequest(queries=[vector(*[1] * 49, float("inf"))]), "queries[0].vector"),
        (pb.FindSimilarRequest(queries=[tokens("a")], top_k=0), "top_k"),
        (pb.FindSimilarRequest(queries=[tokens("a")], top_k=101), "top_k"),
        (pb.FindSimilarRequest(queries=[tokens("a")], options=pb.InferenceOptions(epochs=0)), "options.epochs"),
    ],
)
def test_a_bad_argument_names_its_field(stub: Any, request_: pb.FindSimilarRequest, field: str) -> None:
    """Whatever is wrong is INVALID_ARGUMENT with the field's path."""
    with pytest.raises(grpc.RpcError) as caught:
        stub.FindSimilar(request_, timeout=PATIENCE)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = details(caught.value, error_details_pb2.BadRequest).field_violations
    assert violation.field == field


def test_the_client_accepts_any_number_and_kind_of_queries(client: EmbeddingClient, artifact: Artifact) -> None:
    """Many queries are split in order, an array of vectors counts as a list, and one text gets one result."""
    vectors = artifact.arrays["doctag_vectors"][:150]
    found = client.find_similar(vectors, top_k=1)
    assert [result.neighbours[0].tag for result in found] == list(artifact.doctags)[:150]
    assert all(result.neighbours[0].cosine == pytest.approx(1, abs=1e-6) for result in found)
    one = client.find_similar("fire", 3)
    assert isinstance(one, SimilarDocuments)
    assert client.find_similar(["fire", ["fire"], client.embed("fire").tolist()], 3)[:2] == [one, one]
    assert client.find_similar([]) == []


@pytest.mark.parametrize(
    ("queries", "top_k", "field"),
    [
        (["fire"] * 100 + [[1.0]], 3, "queries[100].vector"),
        (["fire", 5], 3, "queries[1]"),
        ([["fire", 5]], 3, "queries[0]"),
        ([[5, "fire"]], 3, "queries[0]"),
        ([np.ones((2, 50))], 3, "queries[0]"),
        (["a\ud800"], 3, "queries[0]"),
        ([[1e300] * 50], 3, "queries[0].vector"),
        (["fire"], -1, "top_k"),
        (["fire"], "many", "top_k"),
    ],
)
def test_an_invalid_query_is_named_by_its_index(client: EmbeddingClient, queries: Any, top_k: Any, field: str) -> None:
    """The index is that of the caller's list, whether the server or the client found the error."""
    with pytest.raises(InvalidArgumentError) as caught:
        client.find_similar(queries, top_k)
    assert caught.value.violations[0].field == field


def test_string_tags_come_back_as_strings(client: EmbeddingClient, gensim_model: Doc2Vec) -> None:
    """A tag has the type that it had in training."""
    months = [gensim_model.dv[f"month {n}"] for n in range(12)]
    assert [found.neighbours[0].tag for found in client.find_similar(months, 1)] == [f"month {n}" for n in range(12)]


def test_a_model_without_doctags_is_failed_precondition(gensim_model: Doc2Vec, tmp_path: Path) -> None:
    """FAILED_PRECONDITION says how to make a model with doctags, and GetModel reports that there are none."""
    bare = parity.to_artifact(gensim_model, tmp_path / "bare")
    with running(bare.path) as server, EmbeddingClient(server.target) as client:
        assert client.model().document_count == 0
        with pytest.raises(UnsupportedError, match=r"carries no documents.*--doctags") as caught:
            client.find_similar("fire")
        assert caught.value.code == "FAILED_PRECONDITION"


def test_limits_and_deadlines_hold_for_a_long_search(tmp_path: Path) -> None:
    """A search that nobody waits for gives its turn up; top_k is bounded by the server's setting, its default too."""
    model = random_model(tmp_path / "model", 100, 32, documents=300_000)
    flags = ("--threads", "1", "--max-top-k", "4", "--max-documents", "4000")
    with running(model, *flags) as server, stub_of(server.target) as stub:
        many = pb.FindSimilarRequest(queries=[vector(*[1] * 32)] * 4000)
        with pytest.raises(grpc.RpcError) as late:
            stub.FindSimilar(many, timeout=0.3)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        left = stub.FindSimilar.future(many, timeout=PATIENCE)
        left.cancel()
        response = stub.FindSimilar(pb.FindSimilarRequest(queries=[tokens("w1")]), timeout=PATIENCE)
        assert len(response.results[0].neighbours) == 4
