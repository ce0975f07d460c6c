"""Callers that ask little, while others ask much: what becomes of them."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from paravec.v1 import embedding_pb2 as pb

from .flood import PATIENCE

EMBED, MODEL = "/paravec.v1.EmbeddingService/Embed", "/paravec.v1.EmbeddingService/GetModel"
HEALTH = "/grpc.health.v1.Health/Check"

# Seconds from an answer to the next call.
_PAUSE = 0.03


@dataclass
class Bystander:
    """A caller with a connection of its own, whose calls follow each other with pauses. Nothing is tried again."""

    calls: Sequence[tuple[str, bytes]]
    """Methods and messages, in turns."""
    seconds: list[float] = field(default_factory=list)
    """How long each answer took."""
    failed: Counter[str] = field(default_factory=Counter)
    """Calls without an answer, by code."""
    waited: float = 0.0
    """Seconds of the longest call, answered or not."""

    @contextmanager
    def calling(self, port: int) -> Iterator[None]:
        """Calls, until left; the last call is waited for."""
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
                    method(message, timeout=PATIENCE)
                    self.seconds.append(time.perf_counter() - began)
                except grpc.RpcError as error:
                    self.failed[error.code().name] += 1
                self.waited = max(self.waited, time.perf_counter() - began)
            over.wait(_PAUSE)

    def figures(self) -> dict[str, Any]:
        """What became of its calls; times in seconds, None where nothing was answered."""
        return {
            "answered": len(self.seconds), "failed": dict(self.failed), "longest": self.waited,
            "p50": percentile(self.seconds, 0.5), "p99": percentile(self.seconds, 0.99),
        }  # fmt: skip


def prober() -> Bystander:
    """Who asks for health and for the model."""
    return Bystander([(HEALTH, b""), (MODEL, b"")])


def modest(texts: Sequence[str]) -> Bystander:
    """Who asks for the vectors of these texts, in one call."""
    request = pb.EmbedRequest(documents=[pb.Document(text=text) for text in texts])
    return Bystander([(EMBED, request.SerializeToString())])


@contextmanager
def calling(port: int, bystanders: Sequence[Bystander]) -> Iterator[None]:
    """All of them call, until left."""
    with ExitStack() as stack:
        for one in bystanders:
            stack.enter_context(one.calling(port))
        yield


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that so great a share does not exceed; None of nothing."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else None
