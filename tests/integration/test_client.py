"""The client library against a real server."""

import itertools
import logging
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from paravec_client import (
    ClientConfig,
    DeadlineError,
    Embedding,
    EmbeddingClient,
    InferenceOptions,
    InvalidArgumentError,
    OverloadedError,
    ParavecError,
    Retry,
    UnavailableError,
)
from paravec_client._protocol.retry import RETRYABLE_CODES
from paravec_client.errors import from_rpc_error
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder

from ..blocking import Blocking
from ..calls import one_then_wait, stub_of
from ..servers import Server, running


class Column:
    """A column of a library that gives its plain values by a method of this name, and else values of its own."""

    def __init__(self, method: str) -> None:
        setattr(self, method, lambda: ["fire in sydney", "cricket"])

    def __iter__(self) -> Iterator[str]:
        return iter((5, 6))  # type: ignore[arg-type]


@pytest.fixture(params=[EmbeddingClient, Blocking])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[EmbeddingClient]:
    """A client of `server`, of either kind."""
    with request.param(server.target) as client:
        yield client


def test_one_text_is_one_vector(client: EmbeddingClient, encoder: Encoder) -> None:
    """A str gives a float32 array (vector_size,), the encoder's own numbers."""
    vector = client.embed("fire in Sydney")
    assert vector.shape == (50,)
    assert vector.dtype == np.float32
    assert np.array_equal(vector, encoder.encode([["fire", "in", "sydney"]]).vectors[0])


def test_a_list_is_a_matrix(client: EmbeddingClient) -> None:
    """A list of texts and of token lists gives (n, vector_size), in order; an empty list an empty matrix."""
    vectors = client.embed(["fire in sydney", ["fire", "in", "sydney"], ("cricket",), ""])
    assert vectors.shape == (4, 50)
    assert np.array_equal(vectors[0], vectors[1])
    assert not vectors[3].any()
    empty = client.embed([])
    assert empty.shape == (0, 50)
    assert empty.dtype == np.float32


def test_large_batches_are_split(client: EmbeddingClient) -> None:
    """More documents than the server takes in a call, or more bytes, are sent in several, and order is kept."""
    assert client.model().limits.max_documents == 64
    texts = [f"{'fire ' * (i % 5)}sydney" for i in range(333)]
    alone = {text: client.embed(text) for text in set(texts)}
    assert all(np.array_equal(v, alone[t]) for v, t in zip(client.embed(texts), texts, strict=True))
    heavy = ["x" * 900_000, "fire"] * 5
    assert client.embed(heavy).shape == (10, 50)


def test_counts_come_with_the_vectors(client: EmbeddingClient) -> None:
    """embed_all tells what the model knew of each document."""
    known, unknown = client.embed_all(["fire qqqqq", "qqqqq"])
    assert (known.token_count, known.known_token_count, known.truncated) == (2, 1, False)
    assert unknown.known_token_count == 0
    assert not unknown.vector.any()


def test_embeddings_are_arrays_and_a_sequence(client: EmbeddingClient) -> None:
    """embed_all gives one matrix with the counts beside it, which can be read as a list of embeddings, too."""
    made = client.embed_all(["fire qqqqq", "qqqqq", "sydney"] * 100)
    assert made.vectors.shape == (300, 50)
    assert made.vectors.dtype == np.float32
    assert made.vectors.flags.writeable
    assert made.token_counts[:3].tolist() == [2, 1, 1]
    assert made.known_token_counts[:3].tolist() == [1, 0, 1]
    assert not made.truncated.any()
    assert made.model == client.model().identity
    assert len(made) == len(list(made)) == 300
    assert np.array_equal(made[-1].vector, made.vectors[299])
    assert [item.known_token_count for item in made[:3]] == [1, 0, 1]
    assert [item.token_count for item in made] == made.token_counts.tolist()


def test_unset_options_are_the_models_defaults(client: EmbeddingClient) -> None:
    """An option that is None takes the model's default."""
    defaults = client.model().defaults
    same = InferenceOptions(epochs=defaults.epochs, seed=defaults.seed, alpha=defaults.alpha)
    assert np.array_equal(client.embed("fire", same), client.embed("fire"))
    unit = client.embed("fire in sydney", InferenceOptions(normalize=True, seed=5))
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-6)
    other = client.embed("fire", InferenceOptions(method="map"))
    assert not np.allclose(other, client.embed("fire"), atol=1e-3)
    long = client.embed_all([["fire"] * 3000], InferenceOptions(truncate=True))
    assert long[0].truncated


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (InferenceOptions(epochs=0), "options.epochs"),
        (InferenceOptions(epochs=-1), "options.epochs"),
        (InferenceOptions(epochs="ten"), "options.epochs"),  # type: ignore[arg-type]
        (InferenceOptions(seed=2**64), "options.seed"),
        (InferenceOptions(method="magic"), "options.method"),  # type: ignore[arg-type]
        (InferenceOptions(alpha=7), "options.alpha"),
    ],
)
def test_a_wrong_option_is_named(client: EmbeddingClient, options: InferenceOptions, field: str) -> None:
    """Found by the client or by the server, the error is the same kind and names the option."""
    with pytest.raises(InvalidArgumentError) as caught:
        client.embed("fire", options)
    assert [v.field for v in caught.value.violations] == [field]
    assert caught.value.code == "INVALID_ARGUMENT"


def test_embed_all_refuses_a_single_text(client: EmbeddingClient) -> None:
    """embed_all of a str raises and says that a list is wanted."""
    with pytest.raises(InvalidArgumentError, match="must be a list of documents"):
        client.embed_all("a text")
    with pytest.raises(InvalidArgumentError, match="must be a list of documents"):
        next(client.embed_stream("a text"))


@pytest.mark.parametrize("column", [
    np.array(["fire in sydney", "cricket"]),
    np.array(["fire in sydney", "cricket"], dtype=object),
    ("fire in sydney", "cricket"),
    {"fire in sydney": 1, "cricket": 2}.keys(),
    Column("to_list"),
    Column("to_pylist"),
], ids=lambda column: type(column).__name__)  # fmt: skip
def test_columns_and_generators_are_accepted(client: EmbeddingClient, column: Iterable[str]) -> None:
    """Columns of array libraries and generators are embedded in their order."""
    assert np.array_equal(client.embed(column), client.embed(["fire in sydney", "cricket"]))


class Table:
    """Iterates over the names of its columns, as a pandas DataFrame does."""

    columns = ("text",)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


@pytest.mark.parametrize("wrong", [5, None, b"bytes", {"text": 1}, Table()], ids=lambda wrong: type(wrong).__name__)
def test_a_table_or_dict_is_refused(client: EmbeddingClient, wrong: Any) -> None:
    """A table or a dict raises, because iterating it would embed the column names."""
    with pytest.raises(InvalidArgumentError, match=f"documents: must be .* not {type(wrong).__name__}"):
        client.embed(wrong)


@pytest.mark.parametrize("bad", ["lone \ud800 surrogate", ["ok", "\udfff"], 5, ["a", 5], b"bytes"])
def test_an_unencodable_document_is_named_before_sending(client: EmbeddingClient, bad: object) -> None:
    """A lone surrogate or a value of another type raises with the document's index before any call."""
    with pytest.raises(InvalidArgumentError, match=r"^documents\[1\]: "):
        client.embed(["fine", bad])  # type: ignore[list-item]


def test_violations_count_the_callers_documents(client: EmbeddingClient) -> None:
    """Field violations name the index in the caller's list, also when the list was split."""
    texts: list[str | list[str]] = ["fire"] * 200
    texts[150] = ["a"] * 2001
    with pytest.raises(InvalidArgumentError) as caught:
        client.embed(texts)
    assert caught.value.violations[0].field == "documents[150].tokens"
    assert str(caught.value).startswith("documents[150].tokens")


def test_a_stream_gives_the_vectors_of_embed(client: EmbeddingClient) -> None:
    """Each document of a stream is answered in order with the vector that embed gives."""
    texts = [f"fire {'sydney ' * (i % 4)}" for i in range(500)]
    alone = {text: client.embed(text) for text in set(texts)}
    count = 0
    for text, made in zip(texts, client.embed_stream(iter(texts)), strict=True):
        assert isinstance(made, Embedding)
        assert np.array_equal(made.vector, alone[text])
        count += 1
    assert count == 500


def test_a_stream_raises_or_returns_errors(client: EmbeddingClient) -> None:
    """A document at fault ends the stream, or is handed over in its place, as the caller chose."""
    documents: list[str | list[str]] = ["fire", ["a"] * 2001, "\ud800", "x" * 3_000_000, "sydney"]
    handed = list(client.embed_stream(documents, errors="return"))
    assert [type(outcome) for outcome in handed] == [Embedding, *[InvalidArgumentError] * 3, Embedding]
    assert "lone surrogate" in str(handed[2])
    assert "3000005 bytes" in str(handed[3])
    stream = client.embed_stream(documents)
    assert isinstance(next(stream), Embedding)
    with pytest.raises(InvalidArgumentError):
        next(stream)


def test_a_stream_reads_a_bounded_number_of_documents_ahead(client: EmbeddingClient) -> None:
    """An endless source is read at the pace of the answers, and no longer once the stream is closed."""
    taken = itertools.count()
    stream = client.embed_stream(f"fire {next(taken)}" for _ in itertools.repeat(0))
    for _ in range(10):
        next(stream)
    assert next(taken) < 64 * (3 + 2 + 1)
    stream.close()


def test_an_exception_of_the_source_reaches_the_caller(
    client: EmbeddingClient, caplog: pytest.LogCaptureFixture
) -> None:
    """When the documents' iterator raises, earlier documents are answered and its exception is raised."""

    def documents() -> Iterator[str]:
        yield from ("fire", "sydney")
        raise KeyError("mine")

    with caplog.at_level(logging.INFO):
        stream = client.embed_stream(documents())
        assert isinstance(next(stream), Embedding)
        assert isinstance(next(stream), Embedding)
        with pytest.raises(KeyError, match="mine"):
            next(stream)
    assert not caplog.records


def test_threads_share_a_client(client: EmbeddingClient) -> None:
    """Many threads may call at once."""
    expected = client.embed("fire in sydney")
    wrong: list[object] = []

    def work() -> None:
        for _ in range(20):
            if not np.array_equal(client.embed("fire in sydney"), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_model_returns_the_models_facts(client: EmbeddingClient, artifact: Artifact) -> None:
    """model() returns the identity, sizes, defaults and limits of the model."""
    model = client.model()
    manifest = artifact.manifest
    assert (model.name, model.version, model.digest) == (manifest.name, manifest.version, manifest.digest)
    assert (model.algorithm, model.vector_size, model.methods) == ("dbow", 50, ("sgd", "map"))
    assert model.tokenizer == {"kind": "simple", "lowercase": True, "min_len": 2, "max_len": 15}
    assert model.defaults.epochs == 20


def test_no_server_is_unavailable() -> None:
    """Nobody listening is an UnavailableError, and waiting for it a DeadlineError that says so."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        config = ClientConfig(f"127.0.0.1:{unused.getsockname()[1]}", retry=Retry(total_backoff=0.2))
        with EmbeddingClient(config=config) as client:
            with pytest.raises(UnavailableError):
                client.embed("fire")
            with pytest.raises(DeadlineError, match=r"not ready after 0\.2 s"):
                client.wait_until_ready(0.2)


def test_every_call_has_a_deadline(server: Server) -> None:
    """A server too slow for the timeout is a DeadlineError."""
    config = ClientConfig(target=server.target)
    with EmbeddingClient(config=replace(config, timeout=0.2, stream_timeout=0.2)) as client:
        heavy = InferenceOptions(epochs=2000)
        with pytest.raises(DeadlineError) as caught:
            client.embed([["fire"] * 2000] * 60, heavy)
        assert caught.value.code == "DEADLINE_EXCEEDED"
        with pytest.raises(DeadlineError):
            list(client.embed_stream([["fire"] * 2000] * 60, heavy))


def test_a_document_larger_than_a_message_is_refused_before_sending(client: EmbeddingClient) -> None:
    """A document beyond the server's message size raises before it is sent."""
    for documents in ("x" * 2_100_000, ["fire", "x" * 2_100_000]):
        with pytest.raises(InvalidArgumentError, match=r"documents\[[01]\]: has 2100005 bytes, .* of 2000000"):
            client.embed(documents)


def test_an_overloaded_error_has_the_servers_retry_delay(artifact: Artifact) -> None:
    """The server's RetryInfo is the error's retry_after."""
    with running(artifact.path, "--max-concurrent-rpcs", "1") as server:
        config = ClientConfig(server.target, retry=Retry(total_backoff=0))
        with ExitStack() as stack, EmbeddingClient(config=config) as client:
            release = threading.Event()
            # The only place, and the one that a second caller gets beyond it.
            stubs = [stack.enter_context(stub_of(server.target)) for _ in range(2)]
            streams = [stub.EmbedStream(one_then_wait(release)) for stub in stubs]
            for stream in streams:
                next(stream)
            with pytest.raises(OverloadedError) as caught:
                client.embed(["fire"] * 9)
            assert client.embed("fire").any()
            release.set()
            assert [list(stream) for stream in streams] == [[], []]
    assert caught.value.retry_after == pytest.approx(0.1, abs=0.05)


def test_a_closed_client_raises_a_paravec_error(server: Server) -> None:
    """Using a closed client raises a ParavecError, not grpc's ValueError."""
    client = EmbeddingClient(server.target)
    client.close()
    with pytest.raises(ParavecError):
        client.embed("fire")


def test_a_call_that_ends_while_it_sends_is_tried_again() -> None:
    """grpc.aio then says INTERNAL by itself, and loses what the server said."""
    nothing = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, nothing, nothing, "Internal error from Core", "Failed")
    assert from_rpc_error(error).code == "UNAVAILABLE"
    assert from_rpc_error(error).code in RETRYABLE_CODES
