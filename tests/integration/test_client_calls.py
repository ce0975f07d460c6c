"""Arguments, metadata, logs and failing sources of the client."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from paravec_client import (
    AsyncEmbeddingClient,
    ClientConfig,
    EmbeddingClient,
    InferenceOptions,
    InvalidArgumentError,
    ParavecError,
    Retry,
    ServerError,
    UnavailableError,
)
from paravec_client.testing import fake_server

from ..blocking import Blocking
from ..calls import started
from ..servers import PATIENCE, Server

EITHER = pytest.mark.parametrize("way", [EmbeddingClient, Blocking])


ERRORS = pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), RuntimeError("boom")]
)


def source(error: BaseException) -> Iterator[str]:
    """Two texts, and an error."""
    yield "fire"
    yield "sydney"
    raise error


@ERRORS
def test_an_exception_of_the_source_reaches_the_caller(error: BaseException) -> None:
    """The exception comes after the answers to earlier documents; the stream does not end as if it were complete."""
    with fake_server() as server, EmbeddingClient(server.target) as client:
        stream = client.embed_stream(source(error))
        assert [next(stream).token_count for _ in range(2)] == [1, 1]
        with pytest.raises(type(error)):
            next(stream)
        assert client.embed("fire").any()


@ERRORS
@pytest.mark.parametrize("asynchronous", [True, False])
def test_an_exception_of_the_source_reaches_the_asyncio_caller(error: BaseException, asynchronous: bool) -> None:
    """The exception of a synchronous or asynchronous source ends the stream of AsyncEmbeddingClient."""

    async def coming() -> AsyncIterator[str]:
        for text in source(error):
            yield text

    async def use(target: str) -> None:
        async with AsyncEmbeddingClient(target) as client:
            stream = client.embed_stream(coming() if asynchronous else source(error))
            assert [(await anext(stream)).token_count for _ in range(2)] == [1, 1]
            try:
                await anext(stream)
            except BaseException as caught:
                assert type(caught) is type(error)
            else:
                pytest.fail("the stream ended as if it were complete")
            assert (await client.embed("fire")).any()

    with fake_server() as server:
        asyncio.run(use(server.target))


@EITHER
def test_a_zero_dimensional_array_is_its_text(way: type[EmbeddingClient], server: Server) -> None:
    """A 0-d array counts as its text in embed and find_similar; one that holds no text raises."""
    client: Any
    with way(server.target) as client:
        text = np.array("The fire in Sydney")
        expected = client.embed("The fire in Sydney")
        assert np.array_equal(client.embed(text), expected)
        assert np.array_equal(client.embed([text])[0], expected)
        assert client.find_similar(text) == client.find_similar("The fire in Sydney")
        for wrong in (np.array(5), 5, None, {"a": 1}, b"text"):
            with pytest.raises(InvalidArgumentError, match=r"^documents: "):
                client.embed(wrong)
            with pytest.raises(InvalidArgumentError, match=r"^queries: "):
                client.find_similar(wrong)
        with pytest.raises(InvalidArgumentError, match=r"^documents\[1\]: .*bytes"):
            client.embed(["fire", b""])


@EITHER
def test_one_vector_is_one_query(way: type[EmbeddingClient], server: Server) -> None:
    """As an array, as a list of numbers and as a row of an array; an array of two dimensions is a list of them."""
    with way(server.target) as client:
        vectors = client.embed(["fire in sydney", "cricket"])
        one, other = client.find_similar(vectors)
        assert client.find_similar(vectors[0]) == one
        assert client.find_similar(vectors[1].tolist()) == other
        assert client.find_similar([vectors[0], vectors[1].tolist()]) == [one, other]


@EITHER
def test_wrong_arguments_are_named(way: type[EmbeddingClient]) -> None:
    """Every failure is a ParavecError that says what the field takes; a stream says so before it is read."""
    any_client: Any
    with fake_server() as server, way(server.target) as any_client:
        for call, problem in (
            (lambda: any_client.embed("fire", {"epochs": 3}), r"options: must be InferenceOptions\(...\) or None"),
            (lambda: any_client.embed("fire", timeout="5"), "timeout: must be a number of seconds"),
            (lambda: any_client.embed("fire", timeout=0), "timeout: must be a number of seconds"),
            (lambda: any_client.embed("fire", metadata=5), "metadata: must be a dict or pairs"),
            (lambda: any_client.embed("fire", metadata={"Upper": "a"}), "metadata: a name must have lower-case"),
            (lambda: any_client.embed("fire", metadata={"secret": "s3cret\n"}), "metadata: the value of secret must"),
            (
                lambda: any_client.embed("fire", metadata={"a-bin": "text"}),
                "metadata: the value of a-bin must be bytes",
            ),
            (lambda: any_client.embed("fire", InferenceOptions(epochs="5")), "options.epochs: must be a whole"),  # type: ignore[arg-type]
            (lambda: any_client.embed("fire", InferenceOptions(method=5)), "options.method: must be"),  # type: ignore[arg-type]
            (lambda: list(any_client.embed_stream(["fire"], errors="skip")), 'errors: must be "raise" or "return"'),
            (lambda: list(any_client.embed_stream(["fire"], {"epochs": 3})), "options: must be"),
            (lambda: list(any_client.embed_stream("fire")), "documents: must be a list"),
            (lambda: any_client.find_similar("fire", "5"), "top_k: must be a whole number"),
            (lambda: any_client.health(5), "service: must be a str"),
            (lambda: any_client.wait_until_ready("5"), "timeout: must be a number"),
        ):
            with pytest.raises(InvalidArgumentError, match=f"^{problem}") as caught:
                call()
            assert "s3cret" not in str(caught.value)
    with pytest.raises(InvalidArgumentError, match=r"^errors"):
        EmbeddingClient().embed_stream(["fire"], errors="ignore")  # type: ignore[call-overload]
    with pytest.raises(InvalidArgumentError, match=r"^errors"):
        AsyncEmbeddingClient().embed_stream(["fire"], errors="ignore")  # type: ignore[call-overload]


@EITHER
def test_an_option_without_effect_is_refused_or_reported(way: type[EmbeddingClient], server: Server) -> None:
    """An option that the named method ignores raises; without a named method the answer says which method was used."""
    with way(server.target) as client:

        def stream(text: str, options: InferenceOptions) -> Any:
            return client.embed_stream([text], options)

        for name, value in (("epochs", 5), ("alpha", 0.05), ("min_alpha", 0.001), ("seed", 1)):
            unused: Any = {name: value}
            calls: Any = client.embed, lambda text, o: client.find_similar(text, 1, o), lambda *a: list(stream(*a))
            for call in calls:
                with pytest.raises(InvalidArgumentError, match=f"options.{name}: has no effect with METHOD_MAP"):
                    call("fire", InferenceOptions(method="map", **unused))
            assert client.embed_all(["fire"], InferenceOptions(**unused)).method == "sgd"
        method: Any
        for method in ("sgd", "map"):
            options = InferenceOptions(method=method, normalize=True, truncate=True)
            assert client.embed_all(["fire"], options).method == method
            assert client.embed_all(["fire"], options)[0].method == method
            assert next(client.embed_stream(["fire"], options)).method == method
            assert client.find_similar("fire", 1, options).method == method


@EITHER
def test_a_call_has_its_own_timeout_and_metadata(way: type[EmbeddingClient]) -> None:
    """They go with each call of a list, a stream, a search and a question; the token stays beside them."""
    seen: list[tuple[str, dict[str, Any], float]] = []

    class Recorder(grpc.ServerInterceptor):
        def intercept_service(self, go_on: Callable[..., Any], details: Any) -> Any:
            seen.append((details.method.rpartition("/")[2], dict(details.invocation_metadata), 0.0))
            return go_on(details)

    with recording(Recorder()) as target:
        config = ClientConfig(target, token="a-token", health_checks=False, retry=Retry(total_backoff=0))
        with way(config=config) as client:
            metadata: dict[str, str | bytes] = {"x-request-id": "mine", "trace-bin": b"\x00"}
            for call in (client.embed, client.find_similar, lambda _, **m: client.model(**m),
                         lambda _, **m: client.health(**m),
                         lambda text, **m: list(client.embed_stream([text], **m))):  # fmt: skip
                seen.clear()
                with pytest.raises(ParavecError) as caught:
                    call("fire", timeout=5, metadata=metadata)
                assert caught.value.request_id == "mine"
                assert seen
                for _, given, _ in seen:
                    assert (given["x-request-id"], given["trace-bin"]) == ("mine", b"\x00")
                    assert given["authorization"] == "Bearer a-token"
            with pytest.raises(ParavecError):
                client.embed("fire", metadata=[("authorization", "Bearer mine")])
            assert [value["authorization"] for _, value, _ in seen[-1:]] == ["Bearer mine"]


@contextmanager
def recording(interceptor: grpc.ServerInterceptor) -> Iterator[str]:
    """A server without methods; its target."""
    with ThreadPoolExecutor(4) as pool, started(grpc.server(pool, interceptors=[interceptor])) as target:
        yield target


@EITHER
def test_an_error_has_the_request_id_of_the_servers_log(way: type[EmbeddingClient], server: Server) -> None:
    """request_id is the server's or the caller's own, also when no server answered."""
    with way(server.target) as client:
        with pytest.raises(InvalidArgumentError) as caught:
            client.embed("fire " * 3000)
        assert caught.value.request_id
        with pytest.raises(InvalidArgumentError) as caught:
            client.embed("fire " * 3000, metadata={"x-request-id": "my-own"})
        assert caught.value.request_id == "my-own"
    with way(config=ClientConfig("127.0.0.1:9", retry=Retry(total_backoff=0))) as client:
        with pytest.raises(UnavailableError) as unavailable:
            client.embed("fire", metadata={"x-request-id": "my-own"}, timeout=PATIENCE)
        assert unavailable.value.request_id == "my-own"


@EITHER
def test_retries_and_health_are_logged(way: type[EmbeddingClient], caplog: pytest.LogCaptureFixture) -> None:
    """At info what was tried again and how that ended, at debug all; no text of a document."""
    caplog.set_level(logging.DEBUG, "paravec")
    with fake_server() as server, way(server.target) as client:
        client.wait_until_ready()
        server.fail("UNAVAILABLE", times=2)
        client.embed("a-secret-document")
        server.fail("INTERNAL")
        with pytest.raises(ServerError):
            client.embed("a-secret-document")
    told = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "paravec"]
    assert ("INFO", f"{server.target} is ready") in told
    assert [text.startswith("Embed of") for level, text in told if level == "INFO" and "retrying" in text] == [True] * 2
    assert ("INFO", f"Embed of {server.target} succeeded at attempt 3") in told
    assert any(level == "DEBUG" and text.endswith("SERVING") for level, text in told)
    assert not any("a-secret" in text for _, text in told)
