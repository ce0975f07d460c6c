"""Chaos test: three servers on three nodes fail under the load of a client with default settings. No call may fail.

    python benchmarks/chaos.py --model build/models/lee         # a minute and a half; root, iproute2
    python benchmarks/chaos.py --model build/models/lee --short

Threads send single texts and batches, two more keep a stream open. Every vector must equal, bit by bit, the one from
before the faults, and streams must keep their order. A call counts for the fault during which it ended.
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

from benchmarks.machine import write_results
from benchmarks.nodes import Nodes, NodesError, nodes
from paravec_client import Embedding, EmbeddingClient, ParavecError

_PORT = 50051
_TIMEOUT_SECONDS = 60.0
_TEXTS = [
    f"fire in sydney {word}" for word in ["the", "of", "and", "cricket", "government", "australia", "said", "police"]
]

# How long a link is cut: longer than the keepalive of a call or, with --short, than TCP waits for an acknowledgement.
_CUT_SECONDS, _SHORT_CUT_SECONDS = 25.0, 8.0


@dataclass
class FaultResult:
    """The calls that ended during one fault."""

    fault: str
    calls: int = 0
    failed: int = 0
    longest: float = 0.0
    streamed: int = 0
    """Embeddings received from streams."""
    pause: float = 0.0
    """The longest time between two embeddings of a stream, in seconds."""
    why: list[str] = field(default_factory=list)


class Load:
    """Threads that call without pause."""

    def __init__(self, target: str, threads: int) -> None:
        self.result = FaultResult("none")
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._client = EmbeddingClient(target)
        self._expected = self._client.embed(_TEXTS)
        work = [self._call] * threads + [self._stream] * 2
        self._threads = [threading.Thread(target=one, daemon=True) for one in work]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop when all calls have ended."""
        self._over.set()
        for thread in self._threads:
            thread.join(_TIMEOUT_SECONDS)
        self._client.close()

    def _call(self) -> None:
        for n in itertools.count():
            if self._over.is_set():
                return
            began, why = time.monotonic(), ""
            try:
                which = [n % len(_TEXTS)] if n % 4 else list(range(len(_TEXTS)))
                if not np.array_equal(self._client.embed([_TEXTS[i] for i in which]), self._expected[which]):
                    why = "different vector"
            except ParavecError as error:
                why = f"{error.code}: {error}"
            result = self.result
            with self._lock:
                result.calls += 1
                result.longest = max(result.longest, time.monotonic() - began)
                if why:
                    result.failed += 1
                    result.why.append(why)

    def _stream(self) -> None:
        while not self._over.is_set():
            result, last = self.result, time.monotonic()
            try:
                for n, made in enumerate(self._client.embed_stream(self._documents())):
                    assert isinstance(made, Embedding)
                    if not np.array_equal(made.vector, self._expected[n % len(_TEXTS)]):
                        raise ParavecError("different vector or order")
                    result, now = self.result, time.monotonic()
                    with self._lock:
                        result.streamed += 1
                        result.pause = max(result.pause, now - last)
                    last = now
            except ParavecError as error:
                with self._lock:
                    result.failed += 1
                    result.why.append(f"stream: {error.code}: {error}")

    def _documents(self) -> Iterator[str]:
        for text in itertools.cycle(_TEXTS):
            if self._over.wait(0.002):
                return
            yield text


class Fleet:
    """A server on each node."""

    def __init__(self, network: Nodes, model: Path) -> None:
        self._network, self._model = network, model
        self._servers: list[subprocess.Popen[str] | None] = [None] * len(network.addresses)
        self.target = "ipv4:" + ",".join(f"{address}:{_PORT}" for address in network.addresses)

    def start(self, node: int) -> None:
        """Start a server and wait until it is ready."""
        address = f"{self._network.addresses[node]}:{_PORT}"
        command = [sys.executable, "-m", "paravec_server.cli", "--model", str(self._model), "--listen", address]
        command += ["--threads", "1", "--log-level", "warning"]
        # Calls in progress finish. Endless streams continue on another node.
        command += ["--drain-seconds", "2"]
        self._servers[node] = self._network.start(node, command)
        with EmbeddingClient(address) as client:
            client.wait_until_ready(_TIMEOUT_SECONDS)

    def stop(self, node: int, number: signal.Signals) -> None:
        """Send a signal and wait for the exit; its code must be 0 unless it is SIGKILL."""
        server = self._servers[node]
        assert server is not None
        server.send_signal(number)
        code = server.wait(_TIMEOUT_SECONDS)
        assert number is signal.SIGKILL or code == 0, f"exit code {code}"

    def rolling_restart(self) -> None:
        """SIGTERM and restart each node in turn."""
        for node in range(len(self._servers)):
            self.stop(node, signal.SIGTERM)
            self.start(node)

    def kill(self) -> None:
        """SIGKILL one node, and restart it a second later."""
        self.stop(0, signal.SIGKILL)
        time.sleep(1)
        self.start(0)

    def cut(self, seconds: float) -> None:
        """Cut the link of one node, and restore it after `seconds`."""
        self._network.cut(1)
        time.sleep(seconds)
        self._network.restore(1)

    def close(self) -> None:
        """Kill all servers."""
        for server in self._servers:
            if server:
                server.kill()
                server.wait()


@contextmanager
def fleet(model: Path) -> Iterator[Fleet]:
    """Three servers on three nodes."""
    with nodes(3) as network:
        made = Fleet(network, model)
        try:
            for node in range(3):
                made.start(node)
            yield made
        finally:
            made.close()


def main() -> int:
    """Cause the faults and print the calls' results. Returns 1 if a call failed, 3 if nodes cannot be created."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="artifact to serve")
    parser.add_argument("--calls", type=int, default=5000, help="minimum of calls during each fault [%(default)s]")
    parser.add_argument("--threads", type=int, default=16, help="threads that call [%(default)s]")
    parser.add_argument("--short", action="store_true", help="few calls")
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    # Exit by an exception, so that the nodes are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    least, threads = (100, 4) if arguments.short else (arguments.calls, arguments.threads)
    results: list[FaultResult] = []
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
                load.result = result = FaultResult(name)
                results.append(result)
                cause()
                while result.calls < least:
                    time.sleep(0.05)
            load.stop()
            for result in results:
                print(
                    f"{result.fault:20}{result.calls:8,}{result.failed:8}{result.longest:12.2f} s"
                    f"{result.streamed:10,}{result.pause:13.2f} s"
                )
                for why in sorted(set(result.why))[:5]:
                    print(f"    {why}")
    except NodesError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 3
    write_results(arguments.json, rows=[asdict(result) for result in results])
    return int(any(result.failed for result in results))


if __name__ == "__main__":
    sys.exit(main())
