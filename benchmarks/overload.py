"""What becomes of a server under ten times the load that it can sustain.

    python benchmarks/overload.py --json out.json       # about two minutes
    python benchmarks/overload.py --short

One worker on a core of its own, load from this process on another. First calls as fast as they are answered give the
peak. Then calls come at times drawn beforehand, whether earlier ones are answered or not (an open loop): at 80 % of the
peak, and at ten times. Meanwhile another connection asks for health and GetModel. Nobody retries.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import cpu, usable_cores, write_figures
from benchmarks.models import best_corpus, texts_of, trained_model
from benchmarks.services import BUILD, ours
from paravec.v1 import embedding_pb2 as pb
from paravec_server.settings import Settings

EMBED, MODEL = "/paravec.v1.EmbeddingService/Embed", "/paravec.v1.EmbeddingService/GetModel"
HEALTH = "/grpc.health.v1.Health/Check"

_CONNECTIONS = 16

# Seconds after which a caller gives up.
_PATIENCE = 10.0


@dataclass
class Phase:
    """What happened while calls came at one rate."""

    name: str
    offered: float
    """Calls per second; 0 for as fast as they are answered."""
    seconds: float = 0.0
    codes: Counter[str] = field(default_factory=Counter)
    admitted: list[float] = field(default_factory=list)
    """Seconds of each call that was answered."""
    refused: list[float] = field(default_factory=list)
    """Seconds until each refusal."""
    probes: list[float] = field(default_factory=list)
    """Seconds of each Check and GetModel."""
    resident: list[int] = field(default_factory=list)
    """Bytes in memory, at each probe."""

    @property
    def goodput(self) -> float:
        """Calls answered per second."""
        return len(self.admitted) / self.seconds


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so great a share does not exceed; nan of nothing."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


class Generator:
    """Calls of one request over some connections."""

    def __init__(self, port: int, pid: int, request: bytes) -> None:
        self._request, self._pid = request, pid
        self._channels = [
            grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
            for _ in range(_CONNECTIONS + 1)
        ]
        self._embed: list[Any] = [channel.unary_unary(EMBED) for channel in self._channels[1:]]

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            await channel.close()

    async def _call(self, number: int, phase: Phase) -> None:
        began = time.perf_counter()
        try:
            await self._embed[number % _CONNECTIONS](self._request, timeout=_PATIENCE)
        except grpc.aio.AioRpcError as error:
            phase.codes[error.code().name] += 1
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                phase.refused.append(time.perf_counter() - began)
        else:
            phase.codes["OK"] += 1
            phase.admitted.append(time.perf_counter() - began)

    async def closed(self, callers: int, seconds: float) -> Phase:
        """So many callers, each calling again as soon as it is answered."""
        phase = Phase("peak", 0)
        began = time.perf_counter()

        async def caller(number: int) -> None:
            while time.perf_counter() - began < seconds:
                await self._call(number, phase)

        await asyncio.gather(*map(caller, range(callers)))
        phase.seconds = time.perf_counter() - began
        return phase

    async def open(self, name: str, rate: float, seconds: float) -> Phase:
        """Calls at random moments, so many a second."""
        phase, moments, calls = Phase(name, rate), random.Random(1), set()
        async with self._probing(phase):
            began = due = time.perf_counter()
            number = 0
            while due - began < seconds:
                due += moments.expovariate(rate)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                call = asyncio.create_task(self._call(number, phase))
                calls.add(call)
                call.add_done_callback(calls.discard)
                number += 1
            await asyncio.gather(*calls)
        phase.seconds = time.perf_counter() - began
        return phase

    @asynccontextmanager
    async def _probing(self, phase: Phase) -> AsyncIterator[None]:
        questions: list[tuple[Any, Message]] = [
            (self._channels[0].unary_unary(HEALTH), health_pb2.HealthCheckRequest()),
            (self._channels[0].unary_unary(MODEL), pb.GetModelRequest()),
        ]

        async def probe() -> None:
            while True:
                for method, message in questions:
                    began = time.perf_counter()
                    await method(message.SerializeToString(), timeout=_PATIENCE)
                    phase.probes.append(time.perf_counter() - began)
                phase.resident.append(resident(self._pid))
                await asyncio.sleep(0.1)

        probing = asyncio.create_task(probe())
        try:
            yield
        finally:
            probing.cancel()
            # A probe that failed says so here.
            with suppress(asyncio.CancelledError):
                await probing


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(port: int, pid: int, request: bytes, seconds: float) -> list[Phase]:
    """Peak, 80 % of it, ten times it."""
    generator = Generator(port, pid, request)
    try:
        await generator.closed(4, seconds / 4)
        peak = await generator.closed(4, seconds)
        return [
            peak,
            await generator.open("80 %", 0.8 * peak.goodput, seconds),
            await generator.open("10 times", 10 * peak.goodput, seconds),
        ]
    finally:
        await generator.close()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="the Lee corpus, a second for each load")
    parser.add_argument("--seconds", type=float, default=15.0, help="for each load [%(default)s]")
    parser.add_argument("--documents", type=int, default=64, help="in a call [%(default)s]")
    parser.add_argument("--tokens", type=int, default=20, help="of a document [%(default)s]")
    parser.add_argument(
        "--bound", type=int, default=Settings.max_documents_in_flight, help="documents in flight [%(default)s]"
    )
    parser.add_argument("--method", choices=("sgd", "map"), default="sgd", help="of inference [%(default)s]")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    seconds = 1.0 if arguments.short else arguments.seconds
    cores = usable_cores()
    with tempfile.TemporaryDirectory() as place:
        corpus = "lee" if arguments.short else best_corpus()
        trained = trained_model(BUILD / "models", corpus, 50 if arguments.short else 100, Path(place) / "model")
        texts = texts_of(trained, arguments.tokens, arguments.documents)
        request = pb.EmbedRequest(documents=[pb.Document(text=text) for text in texts]).SerializeToString()
        service = next(one for one in ours(trained) if one.key == f"paravec-{arguments.method}")
        bounds = ("--max-documents-in-flight", str(arguments.bound), "--max-documents", str(arguments.documents))
        with service.process(str(cores[0]), texts[:1], *bounds) as (port, pid):
            os.sched_setaffinity(0, {cores[-1]})
            phases = asyncio.run(measure(port, pid, request, seconds))
    print(
        f"{cpu()}; {arguments.method}, {arguments.documents} documents of {arguments.tokens} tokens a call, one core\n"
    )
    for phase in phases:
        print(line(phase))
    summaries = [summary(phase) for phase in phases]
    write_figures(
        arguments.json,
        documents=arguments.documents,
        tokens=arguments.tokens,
        method=arguments.method,
        phases=summaries,
    )
    return 0


def summary(phase: Phase) -> dict[str, Any]:
    """The figures of a phase."""
    quantiles = {
        f"{name}_p{100 * share:.0f}": percentile(getattr(phase, name), share)
        for name in ("admitted", "refused", "probes")
        for share in (0.5, 0.99)
    }
    facts = {name: value for name, value in vars(phase).items() if not isinstance(value, list)}
    worst = max(phase.probes, default=0.0)
    return facts | quantiles | {"goodput": phase.goodput, "probes_max": worst, "resident": phase.resident}


def line(phase: Phase) -> str:
    """The figures of a phase, for people."""
    ms = {name: f"{1000 * value:.1f}" for name, value in summary(phase).items() if "_p" in name or "_max" in name}
    grown = f"{phase.resident[-1] / phase.resident[0] - 1:+.1%}" if phase.resident else ""
    return (
        f"{phase.name:9} offered {phase.offered or phase.goodput:8.0f}/s  answered {phase.goodput:7.0f}/s  "
        f"p50 {ms['admitted_p50']} p99 {ms['admitted_p99']} ms  refused p99 {ms['refused_p99']} ms  "
        f"probes p99 {ms['probes_p99']} max {ms['probes_max']} ms  memory {grown}  {dict(phase.codes)}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
