"""What callers give the client and get from it: arguments, metadata, logs, sources that fail, forks, proxies."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import numpy as np
import pytest

from paravec_client import (
    AsyncEmbeddingClient,
    ClientConfig,
    ConfigError,
    EmbeddingClient,
    InferenceOptions,
    InvalidArgumentError,
    ParavecError,
    Retry,
    ServerError,
    UnavailableError,
)
from paravec_client.testing import fake_server
from paravec_model.artifact import Artifact

from ..blocking import Blocking
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
def test_what_a_source_raises_reaches_the_caller(error: BaseException) -> None:
    """After the outcomes of what came before it; a stream never ends as if it were complete."""
    with fake_server() as server, EmbeddingClient(server.target) as client:
        stream = client.embed_stream(source(error))
        assert [next(stream).token_count for _ in range(2)] == [1, 1]
        with pytest.raises(type(error)):
            next(stream)
        assert client.embed("fire").any()


@ERRORS
@pytest.mark.parametrize("asynchronous", [True, False])
def test_what_a_source_raises_reaches_the_asynchronous_caller(error: BaseException, asynchronous: bool) -> None:
    """Whether it is asynchronous itself or not."""

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
def test_an_array_of_no_dimension_is_its_text(way: type[EmbeddingClient], server: Server) -> None:
    """For a text, for a document of a list and for a query; one that holds no text is an error."""
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
def test_an_option_that_has_no_effect_is_refused_or_told(way: type[EmbeddingClient], server: Server) -> None:
    """Refused where the caller names the method; else the answer tells which method it was."""
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
    """A server that knows no method; its target."""
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, interceptors=[interceptor])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


@EITHER
def test_an_error_tells_the_request_id_of_the_servers_log(way: type[EmbeddingClient], server: Server) -> None:
    """The server's own, or the caller's; also where nobody answered."""
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


def test_an_asynchronous_client_goes_on_in_another_loop() -> None:
    """Once its loop is closed; while that runs, the other one is told."""

    async def once(client: AsyncEmbeddingClient) -> bool:
        found = [embedding async for embedding in client.embed_stream(["fire"])]
        return bool((await client.embed("fire")).any()) and len(found) == 1

    with fake_server() as server:
        client = AsyncEmbeddingClient(server.target)
        assert asyncio.run(once(client))
        assert asyncio.run(once(client))

        async def elsewhere() -> None:
            await client.embed("fire")
            with pytest.raises(ConfigError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, client.embed("fire"))
            await client.close()

        asyncio.run(elsewhere())


FORKS = """
import asyncio, multiprocessing, os, sys, threading
from paravec_client import AsyncEmbeddingClient, EmbeddingClient, ParavecError

client = EmbeddingClient(sys.argv[1])
expected = client.embed("fire").sum()

def in_child(use):
    back, out = os.pipe()
    if not (child := os.fork()):
        try:
            told = str(use())
        except ParavecError as error:
            told = f"{type(error).__name__}: {error}"
        os.write(out, told.encode())
        os._exit(0)
    os.close(out)
    print(os.read(back, 10000).decode())
    os.close(back)
    os.waitpid(child, 0)

def work(text):
    return client.embed(text).sum()

with multiprocessing.get_context("fork").Pool(2) as pool:  # as torch's loaders and gunicorn --preload do
    print(pool.map(work, ["fire"] * 4) == [expected] * 4)
in_child(lambda: client.embed("fire").sum() == expected)
in_child(lambda: EmbeddingClient(sys.argv[1]).embed("fire").sum() == expected)
in_child(lambda: client.close())
calls = [threading.Thread(target=lambda: [client.embed("fire") for _ in range(200)]) for _ in range(3)]
for call in calls:
    call.start()
in_child(lambda: client.embed("fire").sum() == expected)  # short calls in other threads are waited for
for call in calls:
    call.join()
stream = client.embed_stream(["fire"] * 5000)
next(stream)
in_child(lambda: next(stream) and len(list(stream)))
print(len(list(stream)), client.embed("fire").sum() == expected)

async def held():
    async with AsyncEmbeddingClient(sys.argv[1]) as other:
        await other.embed("fire")
        in_child(lambda: client.embed("fire"))  # grpc.aio keeps gRPC's threads

asyncio.run(held())
print(client.embed("fire").sum() == expected)
"""


def test_a_client_goes_on_in_a_fork(server: Server) -> None:
    """In forked pools, in a fork beside calls of other threads, and in the parent; what cannot go on says so."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS, server.target]
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_ENABLE_FORK_SUPPORT"}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False)
    lines = ran.stdout.splitlines()
    assert lines[:3] == ["True"] * 3, ran.stderr
    assert lines[3] == "None"
    assert lines[4] == "True"
    assert lines[5].startswith("ForkedError: gRPC was in use when this process was forked")
    assert lines[6] == "4999 True"
    assert lines[7].startswith("ForkedError: gRPC was in use when this process was forked")
    assert lines[8] == "True"


@contextmanager
def recording_proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that notes what it is asked for and refuses; its URL and the first lines of requests."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                with caller:
                    asked.append(caller.recv(4096).splitlines()[0])
                    caller.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        Thread(target=serve, daemon=True).start()
        yield f"http://user:pass@127.0.0.1:{listener.getsockname()[1]}", asked


@EITHER
def test_local_servers_are_not_asked_for_by_a_proxy(
    way: type[EmbeddingClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a token given to one; a server elsewhere is, and the error names the proxy without its password."""
    with recording_proxy() as (url, asked), fake_server() as server:
        monkeypatch.setenv("http_proxy", url)
        for name in ("no_proxy", "no_grpc_proxy", "grpc_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        port = server.target.rpartition(":")[2]
        monkeypatch.setenv("GRPC_ADDRESS_HTTP_PROXY", url.rpartition("@")[2])
        monkeypatch.setenv("GRPC_ADDRESS_HTTP_PROXY_ENABLED_ADDRESSES", "127.0.0.1/8")
        for target in (f"localhost:{port}", server.target, f"ipv4:{server.target},{server.target}"):
            with way(config=ClientConfig(target, token="s3cret")) as client:
                assert client.embed("fire").any()
        assert not asked
        monkeypatch.delenv("GRPC_ADDRESS_HTTP_PROXY")
        with way(config=ClientConfig("vectors.invalid:50051", retry=Retry(total_backoff=0))) as client:
            with pytest.raises(ParavecError, match=r"\(through the proxy 127\.0\.0\.1:\d+ \(http_proxy\)\)") as caught:
                client.embed("fire", timeout=5)
        assert "pass" not in str(caught.value)
        assert asked[0].startswith(b"CONNECT vectors.invalid:50051")


def test_a_token_for_a_server_behind_a_proxy_needs_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or insecure_token."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="plain text"):
        EmbeddingClient(config=ClientConfig("vectors.invalid:50051", token="s3cret"))


def test_a_pool_of_processes_hears_of_errors(artifact: Artifact, tmp_path: Path) -> None:
    """An error of a worker reaches the caller as itself, instead of breaking the pool."""
    program = tmp_path / "program.py"
    program.write_text(
        "import concurrent.futures as cf, multiprocessing as mp\n"
        "from paravec_client import ForkedError, ModelChangedError\n"
        "def work(kind): raise (ForkedError() if kind else ModelChangedError('1', '2'))\n"
        "if __name__ == '__main__':\n"
        "    with cf.ProcessPoolExecutor(1, mp_context=mp.get_context('spawn')) as pool:\n"
        "        for kind in (0, 1):\n"
        "            print(type(pool.submit(work, kind).exception()).__name__)\n"
    )
    ran = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ran.stdout == "ModelChangedError\nForkedError\n", ran.stderr
