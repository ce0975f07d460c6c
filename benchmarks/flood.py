"""More calls than a server can answer, from h2load (Debian: nghttp2-client), and what the server counts meanwhile."""

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

PATIENCE = 5
"""Seconds after which a caller gives up."""

# Calls of one connection that wait for answers at most. Servers may allow fewer: then the rest waits in h2load, as it
# does in any gRPC client.
_STREAMS = 500

# Connections of an open loop, each a process of its own.
_CONNECTIONS = 32

# Seconds within which these begin.
_STAGGER = 0.3

_CALLS = re.compile(r'^paravec_calls_total\{(?=[^}]*method="Embed")[^}]*code="(\w+)"[^}]*\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Flood:
    """Calls that all bear one request."""

    wire: Wire
    port: int
    body: bytes
    """Of each call, as the wire has it."""

    @contextmanager
    def closed(self, connections: int, streams: int, seconds: float) -> Iterator["Sent"]:
        """For so many seconds at most, connections with so many calls each, that are made anew once answered."""
        with self._running([("-c", str(connections), "-m", str(streams))], seconds, 0) as sent:
            yield sent

    @contextmanager
    def open(self, rate: float, seconds: float) -> Iterator["Sent"]:
        """For so many seconds at most, so many calls a second, whether earlier ones are answered or not.

        Each connection calls in even steps, from a random moment on.
        """
        flags = ("-c", "1", "-m", str(_STREAMS), f"--rps={rate / _CONNECTIONS:.4f}")
        with self._running([flags] * _CONNECTIONS, seconds, _STAGGER) as sent:
            yield sent

    @contextmanager
    def _running(self, kinds: list[tuple[str, ...]], seconds: float, stagger: float) -> Iterator["Sent"]:
        sent, moments = Sent(seconds), random.Random(1)
        headers = [part for header in (*self.wire.headers, f"grpc-timeout: {PATIENCE}S") for part in ("-H", header)]
        with tempfile.NamedTemporaryFile() as body:
            body.write(self.body)
            body.flush()
            # Those who measure share the core, and go first.
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
                    sent.said.append(process.communicate(timeout=seconds + 30)[0])
            finally:
                for process in running:
                    process.kill()
                    process.wait()


@dataclass
class Sent:
    """What the generator says, once it has ended."""

    seconds: float
    said: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Calls that were begun, a second."""
        return sum(int(n) for one in self.said for n in re.findall(r"(\d+) started", one)) / self.seconds


def counted(operations: int) -> Counter[str]:
    """Calls of Embed that ended, by code, as the server counts them at its operations port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{operations}/metrics", timeout=60) as answer:
        return Counter({code: int(float(count)) for code, count in _CALLS.findall(answer.read().decode())})
