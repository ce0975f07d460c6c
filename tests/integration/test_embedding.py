"""EmbeddingService of a real server, called by a stock gRPC client: vectors, options, errors, streams."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from paravec.v1 import embedding_pb2 as pb
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder
from paravec_model.options import InferenceOptions
from paravec_server.services.messages import METHODS

from ..calls import SERVICE, details, refused, text, tokens
from ..servers import PATIENCE, Server


def test_embed_returns_the_encoders_vectors(stub: Any, encoder: Encoder) -> None:
    """Texts and tokens get the encoder's vectors in order, with the counts and the model's identity."""
    content = "The fire in Sydney spread, xyzzy!"
    response = stub.Embed(pb.EmbedRequest(documents=[text(content), tokens("fire", "Fire"), text("")]))
    manifest = encoder.manifest
    identity = pb.ModelVersion(name=manifest.name, version=manifest.version, digest=manifest.digest)
    assert response.model == identity
    expected = encoder.encode([encoder.tokenize(content), ["fire", "Fire"], []]).vectors
    assert np.array_equal(np.array([e.vector for e in response.embeddings], np.float32), expected)
    counts = [(e.token_count, e.known_token_count, e.truncated) for e in response.embeddings]
    assert counts == [(6, 5, False), (2, 1, False), (0, 0, False)]


def test_options_reach_the_encoder(stub: Any, encoder: Encoder) -> None:
    """Each option that is set takes effect; those left out are the model's."""
    options = pb.InferenceOptions(
        method=pb.METHOD_SGD, epochs=3, alpha=0.1, min_alpha=0.05, seed=2**64 - 1, normalize=True
    )
    response = stub.Embed(pb.EmbedRequest(documents=[text("the fire")], options=options))
    ours = InferenceOptions(epochs=3, alpha=0.1, min_alpha=0.05, seed=2**64 - 1, normalize=True)
    assert np.array_equal(
        np.array(response.embeddings[0].vector, np.float32), encoder.encode([["the", "fire"]], ours).vectors[0]
    )


def test_calls_batched_together_get_their_own_answers(channel: grpc.Channel, stub: Any, encoder: Encoder) -> None:
    """Concurrent short calls with other options, several documents, tokens or errors each get their own response, byte
    for byte."""
    words = [word for word in encoder.artifact.vocabulary if word.isalpha()][:200]
    model = stub.GetModel(pb.GetModelRequest()).model.version
    asked, expected = [], []
    for i in range(200):
        texts = [" ".join(words[(i + n) % 200 :][: 1 + i % 30]) for n in range(i % 4 + 1)]
        normalize, by_map = bool(i // 2 % 2), bool(i // 7 % 2)
        options = InferenceOptions("map" if by_map else "sgd", epochs=20, seed=1 + i % 3 // 2, normalize=normalize)
        seed = None if by_map else options.seed
        message = pb.InferenceOptions(method=METHODS[options.method], normalize=normalize, seed=seed)
        documents = [tokens(*one.split()) if i % 11 == 5 else text(one) for one in texts]
        if i % 13 == 7:
            documents.append(pb.Document())
        asked.append(pb.EmbedRequest(documents=documents, options=message).SerializeToString())
        made = encoder.encode([encoder.tokenize(one) for one in texts], options)
        embeddings = [
            pb.Embedding(vector=vector, token_count=len(encoder.tokenize(one)), known_token_count=known)
            for vector, known, one in zip(made.vectors, made.known_token_counts, texts, strict=True)
        ]
        response = pb.EmbedResponse(embeddings=embeddings, model=model, method=message.method)
        expected.append(response.SerializeToString())
    embed: Any = channel.unary_unary(f"/{SERVICE}/Embed")
    futures = [embed.future(request, timeout=PATIENCE) for request in asked]
    for i, future in enumerate(futures):
        if i % 13 == 7:
            assert future.code() is grpc.StatusCode.INVALID_ARGUMENT
        else:
            assert future.result() == expected[i]


def test_get_model_describes_the_model(stub: Any, artifact: Artifact) -> None:
    """GetModel returns identity, architecture, defaults, limits and tokenizer."""
    model = stub.GetModel(pb.GetModelRequest()).model
    assert model.version.digest == artifact.manifest.digest
    assert model.algorithm == pb.ALGORITHM_DBOW
    assert model.vector_size == artifact.manifest.algorithm.vector_size
    assert model.vocabulary_size == len(artifact.vocabulary)
    assert list(model.methods) == [pb.METHOD_SGD, pb.METHOD_MAP]
    assert (model.defaults.epochs, model.defaults.seed, model.defaults.alpha) == (20, 1, 0.025)
    assert (model.limits.max_documents, model.limits.max_tokens, model.limits.max_top_k) == (64, 2000, 100)
    assert model.document_count == 312
    assert (model.tokenizer.kind, model.tokenizer.lowercase, model.tokenizer.max_len) == ("simple", True, 15)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.EmbedRequest(), "documents"),
        (pb.EmbedRequest(documents=[text("a")] * 65), "documents"),
        (pb.EmbedRequest(documents=[text("a"), pb.Document()]), "documents[1]"),
        (pb.EmbedRequest(documents=[text("a"), text("word " * 2001)]), "documents[1].text"),
        (pb.EmbedRequest(documents=[tokens(*["a"] * 2001)]), "documents[0].tokens"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(epochs=0)), "options.epochs"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(epochs=2001)), "options.epochs"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(alpha=0)), "options.alpha"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(alpha=float("nan"))), "options.alpha"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(min_alpha=-1)), "options.min_alpha"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(alpha=1e-6)), "options.min_alpha"),
        (pb.EmbedRequest(documents=[text("a")], options=pb.InferenceOptions(method=99)), "options.method"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_argument_names_its_field(stub: Any, request_: pb.EmbedRequest, field: str) -> None:
    """INVALID_ARGUMENT carries a BadRequest with the path of the field at fault."""
    error = refused(stub, request_)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    violation = details(error, error_details_pb2.BadRequest).field_violations[0]
    assert violation.field == field
    assert violation.description
    assert error.details().startswith(field)


def test_a_long_document_is_truncated_if_allowed(stub: Any, encoder: Encoder) -> None:
    """With truncate, the vector is that of the first max_tokens tokens and the embedding is marked as truncated."""
    words = ["fire", "sydney"] * 1500
    options = pb.InferenceOptions(truncate=True)
    made = stub.Embed(pb.EmbedRequest(documents=[tokens(*words)], options=options)).embeddings[0]
    assert (made.truncated, made.token_count, made.known_token_count) == (True, 3000, 2000)
    assert np.array_equal(np.array(made.vector, np.float32), encoder.encode([words[:2000]]).vectors[0])


@pytest.mark.parametrize("junk", [b"\xff\xff\xff", b"\x0a\x04\x0a\x02\xc3\x28", b"\x0a\xff\xff\xff\xff\x0f"])
def test_bytes_that_are_no_request_are_invalid_argument(channel: grpc.Channel, junk: bytes) -> None:
    """Garbage and text that is not UTF-8 get INVALID_ARGUMENT, in a call and in a stream."""
    call: Any = channel.unary_unary(f"/{SERVICE}/Embed")
    with pytest.raises(grpc.RpcError) as caught:
        call(junk, timeout=PATIENCE)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    stream: Any = channel.stream_stream(f"/{SERVICE}/EmbedStream")
    (answer,) = stream(iter([junk]), timeout=PATIENCE)
    assert pb.EmbedStreamResponse.FromString(answer).error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_a_bad_document_does_not_end_the_stream(stub: Any, encoder: Encoder) -> None:
    """Every document of a stream is answered in order, with its own vector or its own error."""
    fine = [text(f"the fire {i}") for i in range(200)]
    documents = [pb.Document() if i % 7 == 3 else d for i, d in enumerate(fine)]
    options = [pb.InferenceOptions(epochs=1 + i % 2) for i in range(200)]
    requests = (pb.EmbedStreamRequest(document=d, options=o) for d, o in zip(documents, options, strict=True))
    answers = list(stub.EmbedStream(requests, timeout=PATIENCE))
    assert len(answers) == 200
    once, twice = (encoder.encode([["the", "fire"]], InferenceOptions(epochs=n)).vectors[0] for n in (1, 2))
    for i, answer in enumerate(answers):
        assert answer.model.digest == encoder.manifest.digest
        if i % 7 == 3:
            assert answer.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
            detail = error_details_pb2.BadRequest()
            assert answer.error.details[0].Unpack(detail)
            assert detail.field_violations[0].field == "document"
        else:
            assert np.array_equal(np.array(answer.embedding.vector, np.float32), twice if i % 2 else once)


def test_a_stream_answers_while_it_is_open(stub: Any) -> None:
    """A vector comes back before the next document is sent."""
    answered = threading.Semaphore(1)

    def requests() -> Iterator[pb.EmbedStreamRequest]:
        for _ in range(5):
            assert answered.acquire(timeout=PATIENCE)
            yield pb.EmbedStreamRequest(document=text("fire"))

    for answer in stub.EmbedStream(requests(), timeout=PATIENCE):
        assert answer.HasField("embedding")
        answered.release()


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@settings(max_examples=150)
@given(ANY_TEXT)
def test_any_unicode_text_gets_a_vector(stub: Any, content: str) -> None:
    """A text of any Unicode characters is embedded."""
    response = stub.Embed(pb.EmbedRequest(documents=[text(content), tokens(content)]), timeout=PATIENCE)
    assert len(response.embeddings) == 2
    assert all(np.isfinite(e.vector).all() and len(e.vector) == 50 for e in response.embeddings)


@pytest.mark.parametrize(
    "content",
    ["", "\0", "🔥 fuoco 🔥", "نار في سيدني", "e\u0301\u0301\u0301" * 50, "\u202efire\u202c", "x" * 1_000_000],
    # pytest tells processes the name of a test, and a megabyte is too much for their environment.
    ids=["empty", "null", "emoji", "Arabic", "combining", "override", "a megabyte"],
)
def test_unusual_texts_get_a_vector(stub: Any, content: str) -> None:
    """Empty, NUL, emoji, right-to-left, combining marks and a megabyte without a space are embedded."""
    assert len(stub.Embed(pb.EmbedRequest(documents=[text(content)]), timeout=PATIENCE).embeddings) == 1


def test_a_text_beyond_max_tokens_is_refused_or_truncated(stub: Any) -> None:
    """A text beyond the limit of tokens is INVALID_ARGUMENT, or truncated if the options allow it."""
    content = "fire in sydney " * 66_000
    error = refused(stub, pb.EmbedRequest(documents=[text(content)]))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    options = pb.InferenceOptions(truncate=True)
    assert stub.Embed(pb.EmbedRequest(documents=[text(content)], options=options)).embeddings[0].truncated


def test_a_message_beyond_the_limit_is_refused(stub: Any) -> None:
    """gRPC itself refuses a request larger than max_message_bytes, and the server goes on."""
    error = refused(stub, pb.EmbedRequest(documents=[text("x" * 2_100_000)]))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stub.Embed(pb.EmbedRequest(documents=[text("fire")]))


def test_log_events_are_json_lines_without_document_text(server: Server, stub: Any) -> None:
    """Every line of the log is a JSON object, and no document's text is in it."""
    secret = "grünerdrachen"
    stub.Embed(pb.EmbedRequest(documents=[text(secret)]))
    refused(stub, pb.EmbedRequest(documents=[text(secret), pb.Document()]))
    refused(stub, pb.EmbedRequest(documents=[text(f"{secret} " * 2001)]))
    for line in server.lines:
        assert {"time", "level", "event"} <= json.loads(line).keys()
    assert secret not in server.log
    assert secret.encode("ascii", "backslashreplace").decode() not in server.log
