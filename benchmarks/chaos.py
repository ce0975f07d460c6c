"""Faults of three servers, each on a node of its own, under the load of a client with its defaults: no call may fail.

    python benchmarks/chaos.py --model build/models/lee         # a minute and a half; root, iproute2
    python benchmarks/chaos.py --model build/models/lee --short

Threads ask for single texts and for batches, two keep a stream open; every vector is compared to the bit with the
one that was got when all was well, and what comes out of a stream must be in order. A call counts for the fault during
which it ended.
"""

import argparse
import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import write_figures
from benchmarks.nodes import Nodes, NodesError, nodes
from paravec_client import Embedding, EmbeddingClient, ParavecError

_PORT = 50051
_PATIENCE = 60.0
_TEXTS = [
    f"fire in sydney {word}" for word in ["the", "of", "and", "cricket", "government", "australia", "said", "police"]
]

# Seconds that a link is cut: more than a call's keepalive, or, in the short form, than TCP waits for what was sent.
_CUT_SECONDS, _SHORT_CUT_SECONDS = 25.0, 8.0


@dataclass
class Row:
    """What became of the calls that ended during one fault."""

    fault: str
    calls: int = 0
    failed: int = 0
    longest: float = 0.0
    streamed: int = 0
    """Documents answered in streams."""
    pause: float = 0.0
    """The longest time without an answer in a stream."""
    why: list[str] = field(default_factory=list)


class Load:
    """Callers without a pause."""

    def __init__(self, target: str, threads: int) -> None:
        self.row = Row("none")
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._client = EmbeddingClient(target)
        self._expected = self._client.embed(_TEXTS)
        work = [self._call] * threads + [self._stream] * 2
        self._threads = [threading.Thread(target=one, daemon=True) for one in work]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, once all calls have."""
        self._over.set()
        for thread in self._threads:
            thread.join(_PATIENCE)
        self._client.close()

    def _call(self) -> None:
        for n in itertools.count():
            if self._over.is_set():
                return
            began, why = time.monotonic(), ""
            try:
                which = [n % len(_TEXTS)] if n % 4 else list(range(len(_TEXTS)))
                if not np.array_equal(self._client.embed([_TEXTS[i] for i in which]), self._expected[which]):
                    why = "another vector"
            except ParavecError as error:
                why = f"{error.code}: {error}"
            row = self.row
            with self._lock:
                row.calls += 1
                row.longest = max(row.longest, time.monotonic() - began)
                if why:
                    row.failed += 1
                    row.why.append(why)

    def _stream(self) -> None:
        while not self._over.is_set():
            row, last = self.row, time.monotonic()
            try:
                for n, made in enumerate(self._client.embed_stream(self._documents())):
                    assert isinstance(made, Embedding)
                    if not np.array_equal(made.vector, self._expected[n % len(_TEXTS)]):
                        raise ParavecError("another vector, or another order")
                    row, now = self.row, time.monotonic()
                    with self._lock:
                        row.streamed += 1
                        row.pause = max(row.pause, now - last)
                    last = now
            except ParavecError as error:
                with self._lock:
                    row.failed += 1
                    row.why.append(f"stream: {error.code}: {error}")

    def _documents(self) -> Iterator[str]:
        for text in itertools.cycle(_TEXTS):
            if self._over.wait(0.002):
                return
            yield text


class Fleet:
    """A server on each node."""

    def __init__(self, place: Nodes, model: Path) -> None:
        self._place, self._model = place, model
        self._servers: list[subprocess.Popen[str] | None] = [None] * len(place.addresses)
        self.target = "ipv4:" + ",".join(f"{address}:{_PORT}" for address in place.addresses)

    def start(self, node: int) -> None:
        """Start a server and wait until it is ready."""
        address = f"{self._place.addresses[node]}:{_PORT}"
        command = [sys.executable, "-m", "paravec_server.cli", "--model", str(self._model), "--listen", address]
        command += ["--threads", "1", "--log-level", "warning"]
        # What is in progress is finished; endless streams go on at another node with their next call.
        command += ["--drain-seconds", "2"]
        self._servers[node] = self._place.start(node, command)
        with EmbeddingClient(address) as client:
            client.wait_until_ready(_PATIENCE)

    def end(self, node: int, number: signal.Signals) -> None:
        """Send a signal and wait for the end; a drain must end with exit code 0."""
        server = self._servers[node]
        assert server is not None
        server.send_signal(number)
        code = server.wait(_PATIENCE)
        assert number is signal.SIGKILL or code == 0, f"exit code {code}"

    def rolling_restart(self) -> None:
        """SIGTERM and a new start, one node after the other."""
        for node in range(len(self._servers)):
            self.end(node, signal.SIGTERM)
            self.start(node)

    def kill(self) -> None:
        """SIGKILL of one, which is back after some seconds."""
        self.end(0, signal.SIGKILL)
        time.sleep(1)
        self.start(0)

    def cut(self, seconds: float) -> None:
        """The link of one is cut, and mended later."""
        self._place.cut(1)
        time.sleep(seconds)
        self._place.mend(1)

    def close(self) -> None:
        """End all."""
        for server in self._servers:
            if server:
                server.kill()
                server.wait()


@contextmanager
def fleet(model: Path) -> Iterator[Fleet]:
    """Three servers on three nodes."""
    with nodes(3) as place:
        made = Fleet(place, model)
        try:
            for node in range(3):
                made.start(node)
            yield made
        finally:
            made.close()


def main() -> int:
    """Cause the faults and print what became of the calls; exit code 1 if one failed, 3 if there can be no nodes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="artifact to serve")
    parser.add_argument("--calls", type=int, default=5000, help="calls during each fault, at least [%(default)s]")
    parser.add_argument("--threads", type=int, default=16, help="callers [%(default)s]")
    parser.add_argument("--short", action="store_true", help="few calls")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    # So that the nodes are taken away on SIGTERM too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    least, threads = (100, 4) if arguments.short else (arguments.calls, arguments.threads)
    rows: list[Row] = []
    try:
        with fleet(arguments.model) as servers:
            load = Load(servers.target, threads)
            load.start()
            faults: list[tuple[str, Callable[[], None]]] = [
                ("none", lambda: None),
                ("rolling restart", servers.rolling_restart),
                ("SIGKILL of a node", servers.kill),
                ("link of a node cut", partial(servers.cut, _SHORT_CUT_SECONDS if arguments.short else _CUT_SECONDS)),
            ]
            print(f"{'fault':20}{'calls':>8}{'failed':>8}{'longest call':>14}{'streamed':>10}{'longest pause':>15}")
            for name, cause in faults:
                load.row = row = Row(name)
                rows.append(row)
                cause()
                while row.calls < least:
                    time.sleep(0.05)
            load.stop()
            for row in rows:
                print(
                    f"{row.fault:20}{row.calls:8,}{row.failed:8}{row.longest:12.2f} s"
                    f"{row.streamed:10,}{row.pause:13.2f} s"
                )
                for why in sorted(set(row.why))[:5]:
                    print(f"    {why}")
    except NodesError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 3
    write_figures(arguments.json, rows=[asdict(row) for row in rows])
    return int(any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
