"""How clients reach servers: readiness, the caller's own channels and interceptors, and closing."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from paravec_client import (
    AsyncEmbeddingClient,
    ClientConfig,
    DeadlineError,
    EmbeddingClient,
    InferenceOptions,
    ParavecError,
    Retry,
    Tls,
    UnauthenticatedError,
    UnavailableError,
)
from paravec_client.testing import fake_server
from paravec_model.artifact import Artifact

from ..blocking import Blocking
from ..calls import connect
from ..servers import PATIENCE, Server, running, until

EITHER = pytest.mark.parametrize("way", [EmbeddingClient, Blocking])
HASTY = Retry(total_backoff=0)


@EITHER
def test_a_server_that_is_not_ready_gets_no_calls(way: type[EmbeddingClient]) -> None:
    """Of two servers the one that says so is called; of one that is not ready its health can still be asked."""
    with fake_server() as one, fake_server() as other:
        config = ClientConfig(f"ipv4:{one.target},{other.target}", retry=HASTY)
        with way(config=config) as client:
            until(lambda: embeds(client) and bool(one.documents and other.documents))
            one.set_ready(False)
            until(lambda: one.documents == called(client, one))
            refused = len(one.documents)
            for _ in range(50):
                client.embed("fire")  # not one is refused, or it would be told: nothing is tried again
            assert len(one.documents) == refused
        with way(one.target, config=ClientConfig(retry=HASTY)) as client:
            assert client.health() == "NOT_SERVING"
            assert client.health("") == "SERVING"
            with pytest.raises(DeadlineError, match="NOT_SERVING"):
                client.wait_until_ready(0.5)
            with pytest.raises(UnavailableError):
                client.embed("fire")
            one.set_ready(True)
            client.wait_until_ready(PATIENCE)
            until(lambda: embeds(client))


def called(client: EmbeddingClient, server: Any) -> list[Any]:
    """The texts of a server before a few more calls, which may yet be refused."""
    before = list(server.documents)
    for _ in range(4):
        embeds(client)
    return before


def embeds(client: EmbeddingClient) -> bool:
    """Whether a call is answered."""
    try:
        client.embed("fire")
    except UnavailableError:
        return False
    return True


def test_a_connected_client_does_not_delay_a_drain(artifact: Artifact) -> None:
    """A server stops before drain_seconds have passed although a client watches its health."""
    with running(artifact.path, "--drain-seconds", "600") as server, EmbeddingClient(server.target) as client:
        client.embed("fire")
        assert server.stop() == 0


def test_watchers_beyond_the_servers_limit_still_embed(server: Server) -> None:
    """Health watches beyond the server's limit get UNIMPLEMENTED, and their clients treat the server as ready."""
    watches = []
    with ExitStack() as stack:
        for _ in range(270):
            channel = connect(server.target)
            stub = health_pb2_grpc.HealthStub(stack.enter_context(channel))
            watches.append(stub.Watch(health_pb2.HealthCheckRequest(service="paravec.v1.EmbeddingService")))
        # Which of them come last is up to their connections.
        until(lambda: any(watch.done() for watch in watches))
        assert {watch.code() for watch in watches if watch.done()} == {grpc.StatusCode.UNIMPLEMENTED}
        with EmbeddingClient(server.target) as client:
            assert client.embed("fire").any()


class Naming(grpc.UnaryUnaryClientInterceptor):
    """An interceptor that records the calls it sees."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def intercept_unary_unary(self, go_on: Callable[..., Any], details: Any, request: Any) -> Any:
        """Look at a call."""
        self.seen.append(details.method)
        return go_on(details, request)


class AsyncNaming(grpc.aio.UnaryUnaryClientInterceptor):
    """The same for asyncio."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def intercept_unary_unary(self, go_on: Callable[..., Any], details: Any, request: Any) -> Any:
        """Look at a call."""
        self.seen.append(details.method.decode())  # grpc.aio has bytes here
        return await go_on(details, request)


@pytest.mark.parametrize(("way", "kind"), [(EmbeddingClient, Naming), (Blocking, AsyncNaming)])
def test_interceptors_see_each_call(way: type[EmbeddingClient], kind: Any) -> None:
    """Those of lists and streams, too."""
    with fake_server() as server:
        interceptor = kind()
        with way(server.target, interceptors=[interceptor]) as client:
            assert client.embed(["fire"] * 600).shape == (600, 100)
            assert len(list(client.embed_stream(["fire"] * 3))) == 3
            assert client.health() == "SERVING"
        methods = [path.rpartition("/")[2] for path in interceptor.seen]
        assert {"GetModel", "Embed", "Check"} == set(methods)
        assert methods.count("Embed") >= 4


def test_the_callers_own_channel_stays_open() -> None:
    """The client uses the channel it is given and does not close it."""
    with fake_server() as server, grpc.insecure_channel(server.target) as channel:
        with EmbeddingClient(channel=channel) as client:
            expected = client.embed("fire")
        with EmbeddingClient(channel=channel) as client:
            assert client.health() == "SERVING"
            assert np.array_equal(client.embed("fire"), expected)

        async def use() -> None:
            async with grpc.aio.insecure_channel(server.target) as channel:
                for _ in range(2):
                    async with AsyncEmbeddingClient(channel=channel) as client:
                        assert np.array_equal(await client.embed("fire"), expected)

        asyncio.run(use())


@EITHER
def test_mutual_tls_and_a_token_are_both_needed(way: type[EmbeddingClient], artifact: Artifact, tmp_path: Path) -> None:
    """With mutual TLS and a bearer token, calls, lists and streams pass; without either of them none does."""
    authority = trustme.CA()
    files = {name: tmp_path / name for name in ("ca", "cert", "key", "tokens")}
    issued = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(files["ca"])
    issued.cert_chain_pems[0].write_to_path(files["cert"])
    issued.private_key_pem.write_to_path(files["key"])
    files["tokens"].write_text("a-token-of-some-length\n")
    flags = ["--tls-cert", files["cert"], "--tls-key", files["key"], "--tls-client-ca", files["ca"]]
    flags += ["--tokens-file", files["tokens"]]
    tls = Tls(ca=files["ca"], cert=files["cert"], key=files["key"])
    with running(artifact.path, *map(str, flags), ready=False) as server:
        config = ClientConfig(server.target, tls=tls, token_file=files["tokens"])
        with way(config=config) as client:
            client.wait_until_ready(PATIENCE)
            assert client.embed(["fire"] * 600).shape == (600, 50)
            assert len(list(client.embed_stream(["fire"] * 3))) == 3
        with way(config=ClientConfig(server.target, tls=tls)) as client:
            with pytest.raises(UnauthenticatedError):
                client.embed("fire")
        with way(config=ClientConfig(server.target, tls=Tls(ca=files["ca"]), retry=HASTY)) as client:
            with pytest.raises(UnavailableError):
                client.embed("fire")


@EITHER
def test_closing_a_client_ends_all_its_operations_with_an_error(way: type[EmbeddingClient]) -> None:
    """Calls and streams after close, and a stream open during close, raise a ParavecError."""
    with fake_server() as server:
        client = EmbeddingClient(server.target)
        stream = client.embed_stream(iter(lambda: "fire", ""))
        next(stream)
        client.close()
        with pytest.raises(ParavecError, match="the client is closed"):
            for _ in stream:
                pass
        for ask in (client.model, client.health, client.wait_until_ready, lambda: client.embed("fire")):
            with pytest.raises(ParavecError, match="the client is closed"):
                ask()

        async def use() -> None:
            closed = AsyncEmbeddingClient(server.target)
            stream = closed.embed_stream(iter(lambda: "fire", ""))
            await anext(stream)
            await closed.close()
            with pytest.raises(ParavecError, match="the client is closed"):
                async for _ in stream:
                    pass
            with pytest.raises(ParavecError, match="the client is closed"):
                await closed.embed("fire")

        asyncio.run(use())


def open_files() -> int:
    """How many files and sockets this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@EITHER
def test_closed_clients_leave_no_threads_or_files(way: type[EmbeddingClient]) -> None:
    """Many clients opened and closed leave neither threads nor open files."""
    with fake_server() as server:
        for n in range(60):
            with way(server.target) as client:
                client.embed(["fire"] * 2)
                client.health()
            if n == 9:
                threads, files = threading.active_count(), open_files()
        # The fake server's own threads are among them.
        until(lambda: threading.active_count() <= threads + 8)
        until(lambda: open_files() <= files + 8)


def test_cancelling_a_task_cancels_its_call(server: Server) -> None:
    """asyncio cancellation is not taken for a failed call and is not retried."""

    async def use() -> None:
        async with AsyncEmbeddingClient(server.target) as client:
            heavy = InferenceOptions(epochs=2000)
            task = asyncio.create_task(client.embed([["fire"] * 2000] * 60, heavy))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.embed("fire")).any()

            async def slowly() -> Any:
                for text in ("fire", "sydney"):
                    await asyncio.sleep(0.01)
                    yield text

            assert [made.token_count async for made in client.embed_stream(slowly())] == [1, 1]
            many = await asyncio.gather(*(client.embed("fire in sydney") for _ in range(100)))
            assert all(np.array_equal(vector, many[0]) for vector in many)

    asyncio.run(use())


INTERRUPTED = """
import sys
import grpc._channel
from paravec_client import EmbeddingClient

def interrupted(state):
    raise KeyboardInterrupt

grpc._channel._run_channel_spin_thread = interrupted
try:
    with EmbeddingClient(sys.argv[1]) as client:
        list(client.embed_stream(["fire"]))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_while_a_call_starts_ends_the_program(server: Server) -> None:
    """Ctrl-C between the start of a call and of grpcio's watcher thread ends the program, where grpcio's close would
    hang."""
    command = [sys.executable, "-c", INTERRUPTED, server.target]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ran.returncode, ran.stdout) == (0, "interrupted\n"), ran.stderr


EXAMPLE = Path(__file__).parents[2] / "client/examples/embed_file.py"


def test_the_file_example_survives_a_server_restart(artifact: Artifact, tmp_path: Path) -> None:
    """A file is embedded while its server restarts, and each line's vector stands in its row."""
    texts, vectors = tmp_path / "texts.txt", tmp_path / "vectors.npy"
    lines = [f"fire {'sydney ' * (n % 5)} {'cricket ' * (n % 7)}" for n in range(60_000)]
    texts.write_text("\n".join(lines) + "\n")
    with running(artifact.path) as first, EmbeddingClient(first.target) as client:
        expected = {line: client.embed(line) for line in dict.fromkeys(lines)}
        command = [sys.executable, str(EXAMPLE), str(texts), str(vectors)]
        with subprocess.Popen(command, env={**os.environ, "PARAVEC_TARGET": first.target}) as program:
            until(lambda: vectors.exists() and vectors.stat().st_size > 1000 * 200)
            first.stop()
            assert program.poll() is None, "it was done before the restart"
            flags = ("--listen", first.target)
            with running(artifact.path, *flags):
                assert program.wait(PATIENCE) == 0
    made = np.load(vectors)
    assert made.shape == (60_000, 50)
    assert all(np.array_equal(vector, expected[line]) for vector, line in zip(made, lines, strict=True))
