"""Soak test: full load of all kinds for a long time, and whether the server's memory grows.

    python benchmarks/soak.py --model build/models/lee                  # ten minutes
    python benchmarks/soak.py --model build/models/lee --seconds 10

The load is calls of one text and of many, streams, invalid requests, cancelled calls and streams, and new connections.
Memory is the server's resident set size; it may grow by less than 1 % after the first tenth of the time.
"""

import argparse
import collections
import itertools
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.servers import Server, running

from benchmarks.machine import write_results
from paravec_client import EmbeddingClient, InferenceOptions, ParavecError

_MIB = 2**20
_WORDS = [
    "the",
    "of",
    "and",
    "fire",
    "sydney",
    "cricket",
    "government",
    "australia",
    "said",
    "police",
    "people",
    "minister",
    "xyzzy",
]

# Statuses that no request may cause.
_FAULTS = ("INTERNAL", "UNKNOWN", "UNAVAILABLE")


class Load:
    """Threads that call without pause, and the statuses of their calls."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.ended: collections.Counter[tuple[str, str]] = collections.Counter()
        self._over = threading.Event()
        self._client = EmbeddingClient(target)
        kinds = (self.text, self.text, self.batch, self.stream, self.error, self.cancel, self.connection)
        self._threads = [threading.Thread(target=self._run, args=(kind,), daemon=True) for kind in kinds]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop when the calls in progress end."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def _run(self, kind: Callable[[random.Random], str]) -> None:
        chance = random.Random(kind.__name__)
        while not self._over.is_set():
            try:
                code = kind(chance)
            except ParavecError as error:
                code = error.code
            except grpc.RpcError as error:
                code = error.code().name
            self.ended[kind.__name__, code] += 1

    def text(self, chance: random.Random) -> str:
        """One text."""
        self._client.embed(_text(chance))
        return "OK"

    def batch(self, chance: random.Random) -> str:
        """A call of many texts, by either method."""
        options = InferenceOptions(method=chance.choice(("sgd", "map")))
        self._client.embed([_text(chance) for _ in range(chance.randint(2, 256))], options)
        return "OK"

    def stream(self, chance: random.Random) -> str:
        """A stream of up to 500 texts."""
        sent = [_text(chance) for _ in range(chance.randint(1, 500))]
        assert sum(1 for _ in self._client.embed_stream(sent)) == len(sent)
        return "OK"

    def error(self, chance: random.Random) -> str:
        """An invalid request: an option out of range, or a document that is too long."""
        documents, options = chance.choice(
            (
                ("a", InferenceOptions(epochs=0)),
                ("a", InferenceOptions(alpha=chance.uniform(2, 9))),
                ("fire " * 10_001, None),
            )
        )
        self._client.embed(documents, options)
        return "OK"

    def cancel(self, chance: random.Random) -> str:
        """A stream that is cancelled, or a call whose deadline passes."""
        if chance.random() < 0.5:
            answers = self._client.embed_stream(_text(chance) for _ in itertools.repeat(0))
            for _ in range(chance.randint(1, 20)):
                next(answers)
            answers.close()
            return "CANCELLED"
        with EmbeddingClient(self.target, timeout=chance.uniform(0.01, 0.1)) as hurried:
            hurried.embed([_text(chance)] * 250, InferenceOptions(epochs=1000))
        return "OK"

    def connection(self, chance: random.Random) -> str:
        """A new connection for one call, and one call of an unknown method."""
        with grpc.insecure_channel(self.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            model: Any = channel.unary_unary("/paravec.v1.EmbeddingService/GetModel")
            model(b"", timeout=60)
            nothing: Any = channel.unary_unary("/paravec.v1.EmbeddingService/Nothing")
            nothing(chance.randbytes(100), timeout=60)
        return "OK"


def main() -> int:
    """Run the soak test. Returns 1 if memory grew, or a call failed with a status that it may not have."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="artifact to serve")
    parser.add_argument("--seconds", type=float, default=600.0, help="duration [%(default)s]")
    parser.add_argument(
        "--growth",
        type=float,
        default=0.01,
        help="allowed growth of memory after a tenth of the time [%(default)s]",
    )
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    with running(arguments.model) as server:
        load = Load(server.target)
        load.start()
        curve = _watch(server, arguments.seconds)
        load.stop()
        code = server.stop()
    tenth = len(curve) // 10
    settled, last = statistics.median(curve[tenth : 2 * tenth]), statistics.median(curve[-tenth:])
    growth, late = last / settled - 1, last / statistics.median(curve[5 * tenth : 6 * tenth]) - 1
    ended = {kind: {c: n for (k, c), n in sorted(load.ended.items()) if k == kind} for kind, _ in sorted(load.ended)}
    for kind, codes in ended.items():
        print(f"{kind:12}", ", ".join(f"{count:,} {name}" for name, count in codes.items()))
    faults = [name for codes in ended.values() for name in codes if name in _FAULTS]
    memory = f"memory {settled:.1f} MiB -> {last:.1f} MiB, {growth:+.2%} ({late:+.2%} in the second half)"
    print(f"{memory}; exit code {code}; faults: {faults or 'none'}")
    write_results(
        arguments.json, seconds=arguments.seconds, mib=curve, growth=growth, late=late, calls=ended, faults=faults
    )
    return int(growth > arguments.growth or bool(faults) or code != 0)


def _watch(server: Server, seconds: float) -> list[float]:
    """The server's memory in MiB at a hundred times; prints every fifth."""
    curve: list[float] = []
    for n in range(100):
        time.sleep(seconds / 100)
        curve.append(_resident(server.process.pid))
        if n % 5 == 4:
            print(f"{(n + 1) * seconds / 100:6.0f} s  {curve[-1]:7.1f} MiB  {'#' * round(curve[-1] / 4)}", flush=True)
    return curve


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024 / _MIB


def _text(chance: random.Random) -> str:
    return " ".join(chance.choices(_WORDS, k=chance.randint(1, 60)))


if __name__ == "__main__":
    sys.exit(main())
