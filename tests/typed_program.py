"""A program of a user's, for type checkers to read (`tests/integration/test_client_docs.py`)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import assert_type

import numpy as np
import numpy.typing as npt

from paravec_client import (
    AsyncEmbeddingClient,
    Batch,
    ClientConfig,
    Embedding,
    EmbeddingClient,
    Embeddings,
    InferenceOptions,
    InvalidArgumentError,
    ModelInfo,
    ParavecError,
)
from paravec_client.testing import FakeServer, fake_server


def texts() -> Iterator[str]:
    """A few."""
    yield from ("one", "another")


async def more_texts() -> AsyncIterator[str]:
    """As they come."""
    for text in texts():
        yield text


def synchronous(server: FakeServer) -> float:
    """Each way to embed."""
    config = replace(ClientConfig.from_environment(), target=server.target, batch=Batch(documents=8))
    with EmbeddingClient(config=config, timeout=5) as client:
        vector: npt.NDArray[np.float32] = client.embed("a text", InferenceOptions(epochs=10))
        matrix: npt.NDArray[np.float32] = client.embed(["one", ["or", "tokens"]])
        column: npt.NDArray[np.float32] = client.embed(np.array(["one", "another"]))
        made = client.embed_all(texts())
        assert_type(made, Embeddings)
        assert_type(made[0], Embedding)
        assert_type(made[:1], Embeddings)
        known: int = made[0].known_token_count
        for embedding in client.embed_stream(texts()):
            assert_type(embedding, Embedding)
        for outcome in client.embed_stream(texts(), errors="return"):
            if isinstance(outcome, ParavecError):
                print(outcome.code, outcome.retry_after)
            else:
                assert_type(outcome, Embedding)
        model: ModelInfo = client.model()
        try:
            client.embed(["a"])
        except InvalidArgumentError as error:
            print([violation.field for violation in error.violations])
        return float(vector.sum() + matrix.sum() + column.sum()) + known + model.limits.max_documents


async def asynchronous(server: FakeServer) -> Embeddings:
    """The same, awaited."""
    async with AsyncEmbeddingClient(server.target) as client:
        vector: npt.NDArray[np.float32] = await client.embed("a text")
        async for embedding in client.embed_stream(more_texts()):
            assert_type(embedding, Embedding)
        print(vector.shape, await client.health())
        return await client.embed_all(["one", "another"])


if __name__ == "__main__":
    with fake_server() as fake:
        print(synchronous(fake), len(asyncio.run(asynchronous(fake))))
