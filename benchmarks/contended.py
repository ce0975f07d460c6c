"""Measures a server under overload."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from .bystanders import EMBED, Bystander, calling
from .flood import Flood, Sent, call_counts
from .services import Service, ServiceError, free_ports

# How long a server may take until it answers again after a load.
_RECOVERY_SECONDS = 60.0


@dataclass(frozen=True)
class Timing:
    """Durations of each load in seconds."""

    ramp: float
    """Before the measurement."""
    measured: float

    @property
    def total(self) -> float:
        """How long calls are sent; longer than the measurement."""
        return self.ramp + self.measured + 1


@dataclass(frozen=True)
class OverloadedServer:
    """A running server."""

    service: Service
    port: int
    pid: int
    operations: int
    """Its operations port."""
    timing: Timing

    @classmethod
    @contextmanager
    def running(cls, service: Service, core: int, timing: Timing) -> Iterator["OverloadedServer"]:
        """Start the service on `core`, with metrics."""
        (operations,) = free_ports(1)
        with service.process(str(core), ["one"], "--operations-listen", f"127.0.0.1:{operations}") as (port, pid):
            yield cls(service, port, pid, operations, timing)

    def flood(self, texts: Sequence[str]) -> Flood:
        """Calls that all send these texts."""
        return Flood(self.service.wire, self.port, self.service.wire.request(texts))

    def peak(self, texts: Sequence[str]) -> float:
        """Calls per second with just enough concurrency to keep the server busy."""
        streams = {1: 16, 2: 8, 4: 4, 8: 4}.get(len(texts), 1)
        measured: float = self.measure(self.flood(texts).closed(4, streams, self.timing.total), ())["goodput"]
        return measured

    def measure(self, load: AbstractContextManager[Sent], bystanders: Sequence[Bystander]) -> dict[str, Any]:
        """Rates of answered calls and of calls by status under a load, per second, without the bystanders' calls."""
        with load as sent:
            time.sleep(self.timing.ramp)
            before, began = call_counts(self.operations), time.perf_counter()
            with calling(self.port, bystanders):
                time.sleep(self.timing.measured)
                after, seconds = call_counts(self.operations), time.perf_counter() - began
                own = sum(len(one.seconds) for one in bystanders if one.calls[0][0] == EMBED)
            memory = resident(self.pid)
        self._recover()
        codes = {code: (after[code] - before[code]) / seconds for code in sorted(after) if after[code] > before[code]}
        goodput = max(0.0, (after["OK"] - before["OK"] - own) / seconds)
        return {"sent": sent.rate, "goodput": goodput, "codes": codes, "memory": memory}

    def _recover(self) -> None:
        request, last = self.service.wire.request(["one"])[5:], time.monotonic() + _RECOVERY_SECONDS
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            embed: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EMBED)
            while True:
                try:
                    embed(request, timeout=max(0.1, last - time.monotonic()))
                    return
                except grpc.RpcError as error:
                    if time.monotonic() > last:
                        name = self.service.name
                        raise ServiceError(f"{name}: no response a minute after a load: {error.code().name}") from error
                    time.sleep(0.1)


def resident(pid: int) -> int:
    """Resident set size of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
