"""How clients reach servers: those that are ready, by the caller's channels and interceptors, and not after a fork."""

import asyncio
import os
import subprocess
import sys
import threading
import time
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
    ParavecError,
    Retry,
    Tls,
    UnauthenticatedError,
    UnavailableError,
)
from paravec_client.testing import fake_server
from paravec_model.artifact import Artifact

from ..blocking import Blocking
from ..servers import PATIENCE, Server, running, until

EITHER = pytest.mark.parametrize("way", [EmbeddingClient, Blocking])
HASTY = Retry(total_backoff=0)


@EITHER
def test_a_server_that_is_not_ready_gets_no_calls(way: type[EmbeddingClient]) -> None:
    """Of two servers the one that says so is called; of one that is not ready its health can still be asked."""
    with fake_server() as one, fake_server() as other:
        config = ClientConfig(f"ipv4:{one.target},{other.target}", retry=HASTY)
        with way(config=config) as client:
            client.embed("warm")
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


def test_a_server_that_drains_ends_in_time_beside_a_client(artifact: Artifact) -> None:
    """A client's watch of health does not hold a server up."""
    with running(artifact.path) as server, EmbeddingClient(server.target) as client:
        client.embed("fire")
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 10


def test_more_watchers_than_a_server_has_room_for_do_no_harm(server: Server) -> None:
    """Those beyond are told that there is no Watch, which is as if they were ready; all can embed."""
    watches = []
    with ExitStack() as stack:
        for _ in range(270):
            channel = grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)])
            stub = health_pb2_grpc.HealthStub(stack.enter_context(channel))
            watches.append(stub.Watch(health_pb2.HealthCheckRequest(service="paravec.v1.EmbeddingService")))
        # Which of them come last is up to their connections.
        until(lambda: any(watch.done() for watch in watches))
        assert {watch.code() for watch in watches if watch.done()} == {grpc.StatusCode.UNIMPLEMENTED}
        with EmbeddingClient(server.target) as client:
            assert client.embed("fire").any()


class Naming(grpc.UnaryUnaryClientInterceptor):
    """Counts the calls it sees."""

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


def test_a_channel_of_the_callers_stays_open() -> None:
    """The client uses it, and leaves it as it was."""
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
def test_tls_and_a_token(way: type[EmbeddingClient], artifact: Artifact, tmp_path: Path) -> None:
    """Mutual TLS and a bearer token, in calls, lists and streams; without one of them nothing goes."""
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
def test_a_closed_client_says_so_whatever_it_was_doing(way: type[EmbeddingClient]) -> None:
    """Calls, streams and questions after the end, and a stream in the middle of which it came."""
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
def test_many_clients_leave_nothing(way: type[EmbeddingClient]) -> None:
    """Neither threads nor open files stay behind clients that were closed."""
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


def test_a_cancelled_task_is_cancelled(server: Server) -> None:
    """asyncio's own cancellation is not taken for a failure of the call, and nothing tries again."""

    async def use() -> None:
        async with AsyncEmbeddingClient(server.target) as client:
            task = asyncio.create_task(client.embed([["fire"] * 2000] * 64))
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


def test_an_interrupt_in_the_wrong_moment_ends_the_program_too(server: Server) -> None:
    """Between the start of a call and that of the thread that hears of its end, grpcio's own close would not return."""
    command = [sys.executable, "-c", INTERRUPTED, server.target]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ran.returncode, ran.stdout) == (0, "interrupted\n"), ran.stderr


EXAMPLE = Path(__file__).parents[2] / "client/examples/embed_file.py"


def test_the_example_loses_nothing_over_a_restart(artifact: Artifact, tmp_path: Path) -> None:
    """A file is embedded, its server restarted in the middle: each line's vector stands in its row."""
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
