"""A client across forks, process pools and event loops."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from paravec_client import (
    AsyncEmbeddingClient,
    ConfigError,
)
from paravec_client.testing import fake_server
from paravec_model.artifact import Artifact

from ..servers import PATIENCE, Server

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


def test_a_client_works_after_a_fork(server: Server) -> None:
    """A client works in forked pools, in a fork beside calls of other threads, and in the parent; what cannot go on
    raises."""
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


def test_errors_cross_a_process_pool(artifact: Artifact, tmp_path: Path) -> None:
    """An error raised in a worker process reaches the caller as itself and does not break the pool."""
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


def test_an_asyncio_client_works_in_another_loop() -> None:
    """After its event loop is closed the client works in another; while it runs, use in another raises ConfigError."""

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
