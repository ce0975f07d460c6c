"""Sends more calls than a server can answer, by h2load (Debian: nghttp2-client), and reads the server's counters."""

import random
import re
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .wires import Wire

TIMEOUT_SECONDS = 5
"""Deadline of each call."""

# Maximum of concurrent calls of a connection. If the server allows fewer, h2load queues the rest, as gRPC clients do.
_STREAMS = 500

# Connections of an open loop, each in its own process.
_CONNECTIONS = 32

# The processes start at random moments within this time.
_STAGGER_SECONDS = 0.3

_CALLS = re.compile(r'^paravec_calls_total\{(?=[^}]*method="Embed")[^}]*code="(\w+)"[^}]*\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Flood:
    """Calls that all send the same request."""

    wire: Wire
    port: int
    body: bytes
    """The request as h2load sends it."""

    @contextmanager
    def closed(self, connections: int, streams: int, seconds: float) -> Iterator["Sent"]:
        """Closed loop: each connection keeps `streams` calls in progress, for `seconds` at most."""
        with self._running([("-c", str(connections), "-m", str(streams))], seconds, 0) as sent:
            yield sent

    @contextmanager
    def open(self, rate: float, seconds: float) -> Iterator["Sent"]:
        """Open loop: `rate` calls start per second, whether earlier ones are answered or not, for `seconds` at most.

        Each connection calls at even intervals, from a random moment on.
        """
        flags = ("-c", "1", "-m", str(_STREAMS), f"--rps={rate / _CONNECTIONS:.4f}")
        with self._running([flags] * _CONNECTIONS, seconds, _STAGGER_SECONDS) as sent:
            yield sent

    @contextmanager
    def _running(self, kinds: list[tuple[str, ...]], seconds: float, stagger: float) -> Iterator["Sent"]:
        sent, moments = Sent(seconds), random.Random(1)
        headers = [
            part for header in (*self.wire.headers, f"grpc-timeout: {TIMEOUT_SECONDS}S") for part in ("-H", header)
        ]
        with tempfile.NamedTemporaryFile() as body:
            body.write(self.body)
            body.flush()
            # The measuring threads share the core and have priority.
            command = ["nice", "-n", "19", "h2load", "-t", "1", "-D", f"{1000 * seconds:.0f}ms", "-d", body.name]
            command += [*headers, f"http://127.0.0.1:{self.port}{self.wire.path}"]
            running = []
            try:
                for flags in kinds:
                    running.append(
                        subprocess.Popen(
                            [*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                        )
                    )
                    time.sleep(min(stagger, moments.expovariate(len(kinds) / stagger)) if stagger else 0)
                yield sent
                for process in running:
                    sent.outputs.append(process.communicate(timeout=seconds + 30)[0])
            finally:
                for process in running:
                    process.kill()
                    process.wait()


@dataclass
class Sent:
    """The output of h2load, complete once it has exited."""

    seconds: float
    outputs: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Calls started per second."""
        return sum(int(n) for one in self.outputs for n in re.findall(r"(\d+) started", one)) / self.seconds


def call_counts(operations: int) -> Counter[str]:
    """Ended calls of Embed by status, from the metrics of the server's operations port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{operations}/metrics", timeout=60) as answer:
        return Counter({code: int(float(count)) for code, count in _CALLS.findall(answer.read().decode())})
