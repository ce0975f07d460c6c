"""Load from h2load, a generator in C: a client in Python would limit what is measured.

h2load counts HTTP statuses, and a failed gRPC call has status 200 too. So the bytes of the responses are checked: all
must be as long as one that was verified.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .wires import Wire

_TIMEOUT_SECONDS = 60.0
"""Timeout of one run of h2load."""


class LoadError(Exception):
    """Some calls failed. The message is one line."""


@dataclass(frozen=True)
class Load:
    """A number of concurrent calls, sent from one core."""

    connections: int
    """Open connections; one that the server closes is replaced."""
    streams: int
    """Concurrent calls on each connection; 1 for HTTP/1.1."""
    core: int | str
    """The core that h2load runs on, or several as in taskset -c."""

    def rate(self, wire: Wire, port: int, body: Path, answer: int, seconds: float) -> float:
        """Calls per second, measured for about `seconds`. Raises LoadError unless each response has `answer` bytes."""
        concurrent = self.connections * self.streams
        calls = 2 * concurrent
        # The first rounds warm up the server and calibrate the number of calls.
        for share in (0.1, 0.25, 1.0):
            rate = self._run(wire, port, body, answer, calls)
            calls = max(concurrent, round(rate * seconds * share / concurrent) * concurrent)
        return self._run(wire, port, body, answer, calls)

    def rate_over(self, wire: Wire, port: int, body: Path, answer: int, seconds: float) -> float:
        """Like `rate`, but over gRPC and for a fixed time after one second of warm-up.

        For several workers, whose connections differ in speed: `rate` gives each connection the same number of calls,
        and waits for the slowest.
        """
        output = self._run_h2load(wire, port, body, "-D", f"{seconds:g}", "--warm-up-time", "1")
        # The counts include the warm-up.
        if not _number(r", (\d+) succeeded", output) or _number(r"\((\d+)\) data", output) % answer:
            raise LoadError(f"not all answers had {answer} bytes; some calls must have failed")
        return _number(r"finished in .*, ([\d.]+) req/s", output)

    def _run(self, wire: Wire, port: int, body: Path, answer: int, calls: int) -> float:
        output = self._run_h2load(wire, port, body, "-n", str(calls))
        succeeded = _number(r"status codes: (\d+) 2xx", output)
        if succeeded != calls:
            raise LoadError(f"{calls - succeeded:.0f} of {calls} calls failed")
        if wire.grpc and (found := _number(r"\((\d+)\) data", output)) != calls * answer:
            raise LoadError(f"{calls} answers had {found:.0f} bytes, not {answer} each; some calls must have failed")
        return _number(r"finished in .*, ([\d.]+) req/s", output)

    def _run_h2load(self, wire: Wire, port: int, body: Path, *flags: str) -> str:
        command = ["taskset", "-c", str(self.core), "h2load", "-t", "1", *flags]
        command += ["-c", str(self.connections), "-m", str(self.streams), "-d", str(body)]
        command += [part for header in wire.headers for part in ("-H", header)]
        command += [] if wire.grpc else ["--h1"]
        command += [f"http://127.0.0.1:{port}{wire.path}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise LoadError(f"the calls were not answered in {_TIMEOUT_SECONDS:.0f} seconds") from None
        if done.returncode:
            raise LoadError(f"h2load failed: {done.stderr.strip() or done.returncode}")
        return done.stdout


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0
