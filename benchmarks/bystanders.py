"""Clients with few calls, measured while other clients overload the server."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from paravec.v1 import embedding_pb2 as pb

from .flood import TIMEOUT_SECONDS

EMBED, MODEL = "/paravec.v1.EmbeddingService/Embed", "/paravec.v1.EmbeddingService/GetModel"
HEALTH = "/grpc.health.v1.Health/Check"

# Between a response and the next call.
_PAUSE_SECONDS = 0.03


@dataclass
class Bystander:
    """A client with its own connection, which calls again and again with pauses and without retries."""

    calls: Sequence[tuple[str, bytes]]
    """Methods and requests, called in turn."""
    seconds: list[float] = field(default_factory=list)
    """Duration of each answered call."""
    failed: Counter[str] = field(default_factory=Counter)
    """Failed calls by status."""
    longest: float = 0.0
    """Seconds of the longest call, answered or failed."""

    @contextmanager
    def calling(self, port: int) -> Iterator[None]:
        """Call until the context ends, then wait for the last call."""
        over = threading.Event()
        with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
            thread = threading.Thread(target=self._run, args=(channel, over))
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()

    def _run(self, channel: grpc.Channel, over: threading.Event) -> None:
        methods: list[tuple[Any, bytes]] = [(channel.unary_unary(name), message) for name, message in self.calls]
        while not over.is_set():
            for method, message in methods:
                began = time.perf_counter()
                try:
                    method(message, timeout=TIMEOUT_SECONDS)
                    self.seconds.append(time.perf_counter() - began)
                except grpc.RpcError as error:
                    self.failed[error.code().name] += 1
                self.longest = max(self.longest, time.perf_counter() - began)
            over.wait(_PAUSE_SECONDS)

    def results(self) -> dict[str, Any]:
        """Counts, and times in seconds; percentiles are None if no call was answered."""
        return {
            "answered": len(self.seconds), "failed": dict(self.failed), "longest": self.longest,
            "p50": percentile(self.seconds, 0.5), "p99": percentile(self.seconds, 0.99),
        }  # fmt: skip


def prober() -> Bystander:
    """A client that calls health Check and GetModel."""
    return Bystander([(HEALTH, b""), (MODEL, b"")])


def modest(texts: Sequence[str]) -> Bystander:
    """A client that calls Embed with these texts."""
    request = pb.EmbedRequest(documents=[pb.Document(text=text) for text in texts])
    return Bystander([(EMBED, request.SerializeToString())])


@contextmanager
def calling(port: int, bystanders: Sequence[Bystander]) -> Iterator[None]:
    """Let all of them call until the context ends."""
    with ExitStack() as stack:
        for one in bystanders:
            stack.enter_context(one.calling(port))
        yield


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed; None without values."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else None
