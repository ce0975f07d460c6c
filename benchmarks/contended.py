"""A server under more load than it can bear, and what it does meanwhile."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from .bystanders import EMBED, Bystander, calling
from .flood import Flood, Sent, counted
from .services import Service, ServiceError, free_ports

# Seconds that a server may take to get over a load.
_RECOVERY = 60.0


@dataclass(frozen=True)
class Timing:
    """Seconds of each load."""

    ramp: float
    """Before anything is counted."""
    measured: float

    @property
    def total(self) -> float:
        """How long calls are sent; longer than what is measured."""
        return self.ramp + self.measured + 1


@dataclass(frozen=True)
class Contended:
    """A server that runs."""

    service: Service
    port: int
    pid: int
    operations: int
    """The port of its metrics."""
    timing: Timing

    @classmethod
    @contextmanager
    def running(cls, service: Service, core: int, timing: Timing) -> Iterator["Contended"]:
        """Start it on a core of its own, with metrics."""
        (operations,) = free_ports(1)
        with service.process(str(core), ["one"], "--operations-listen", f"127.0.0.1:{operations}") as (port, pid):
            yield cls(service, port, pid, operations, timing)

    def flood(self, texts: Sequence[str]) -> Flood:
        """Calls that all bear these texts."""
        return Flood(self.service.wire, self.port, self.service.wire.request(texts))

    def peak(self, texts: Sequence[str]) -> float:
        """Calls per second with as many at once as keep it busy, and no more."""
        streams = {1: 16, 2: 8, 4: 4, 8: 4}.get(len(texts), 1)
        measured: float = self.measure(self.flood(texts).closed(4, streams, self.timing.total), ())["goodput"]
        return measured

    def measure(self, load: AbstractContextManager[Sent], bystanders: Sequence[Bystander]) -> dict[str, Any]:
        """What it answers under a load, in calls per second, and by code; the bystanders' answers not counted."""
        with load as sent:
            time.sleep(self.timing.ramp)
            before, began = counted(self.operations), time.perf_counter()
            with calling(self.port, bystanders):
                time.sleep(self.timing.measured)
                after, seconds = counted(self.operations), time.perf_counter() - began
                own = sum(len(one.seconds) for one in bystanders if one.calls[0][0] == EMBED)
            memory = resident(self.pid)
        self._recover()
        codes = {code: (after[code] - before[code]) / seconds for code in sorted(after) if after[code] > before[code]}
        goodput = max(0.0, (after["OK"] - before["OK"] - own) / seconds)
        return {"sent": sent.rate, "goodput": goodput, "codes": codes, "memory": memory}

    def _recover(self) -> None:
        request, last = self.service.wire.request(["one"])[5:], time.monotonic() + _RECOVERY
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            embed: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EMBED)
            while True:
                try:
                    embed(request, timeout=max(0.1, last - time.monotonic()))
                    return
                except grpc.RpcError as error:
                    if time.monotonic() > last:
                        name = self.service.name
                        raise ServiceError(
                            f"{name}: answers nothing a minute after a load: {error.code().name}"
                        ) from error
                    time.sleep(0.1)


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
