"""AsyncEmbeddingClient with the methods of EmbeddingClient, so that the same tests run on both."""

import asyncio
import threading
from collections.abc import Generator
from typing import Any

from paravec_client import AsyncEmbeddingClient, EmbeddingClient


class Blocking(EmbeddingClient):
    """Runs an AsyncEmbeddingClient on an event loop in a thread of its own."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._client = AsyncEmbeddingClient(*args, **named)
        self.config = self._client.config

    def close(self) -> None:
        """Close the client and end the loop."""
        self._wait(self._client.close())
        self._wait(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, awaitable: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaitable, self._loop).result(60)

    def embed_all(self, *args: Any, **named: Any) -> Any:
        """Return what the method of AsyncEmbeddingClient returns."""
        return self._wait(self._client.embed_all(*args, **named))

    def embed(self, *args: Any, **named: Any) -> Any:
        """Return what the method of AsyncEmbeddingClient returns."""
        return self._wait(self._client.embed(*args, **named))

    def find_similar(self, *args: Any, **named: Any) -> Any:
        """Return what the method of AsyncEmbeddingClient returns."""
        return self._wait(self._client.find_similar(*args, **named))

    def model(self, **named: Any) -> Any:
        """Return what the method of AsyncEmbeddingClient returns."""
        return self._wait(self._client.model(**named))

    def health(self, *args: Any, **named: Any) -> Any:
        """Return what the method of AsyncEmbeddingClient returns."""
        return self._wait(self._client.health(*args, **named))

    def wait_until_ready(self, timeout: float = 60.0, **named: Any) -> None:
        """Do what the method of AsyncEmbeddingClient does."""
        self._wait(self._client.wait_until_ready(timeout, **named))

    def embed_stream(self, *args: Any, **named: Any) -> Generator[Any, None, None]:
        """Yield what the method of AsyncEmbeddingClient yields."""
        stream = self._client.embed_stream(*args, **named)
        try:
            while True:
                try:
                    item = self._wait(anext(stream))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            if self._loop.is_running():
                self._wait(stream.aclose())
