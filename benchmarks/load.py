"""Load from h2load, a generator in C, so that no client's Python is measured.

h2load counts HTTP statuses, and a gRPC call that failed has status 200. So the bytes of the answers are counted too:
all must be as long as the one that was looked at.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .wires import Wire

_PATIENCE = 60.0
"""Seconds that all calls may take."""


class LoadError(Exception):
    """Not all calls were answered as they should be; one line."""


@dataclass(frozen=True)
class Load:
    """So many calls at once, from one core."""

    connections: int
    """Connections held open, or opened anew if the server closes them."""
    streams: int
    """Calls at once on each; 1 for HTTP/1.1."""
    core: int | str
    """Where the generator runs: a core, or several as taskset names them."""

    def rate(self, wire: Wire, port: int, body: Path, answer: int, seconds: float) -> float:
        """Calls per second, measured for about so long, each answered by `answer` bytes; LoadError if not all were."""
        calls, least = 2 * self.connections * self.streams, self.connections * self.streams
        # The first rounds warm the server up, and say how many calls take how long.
        for share in (0.1, 0.25, 1.0):
            rate = self._run(wire, port, body, answer, calls)
            calls = max(least, round(rate * seconds * share / least) * least)
        return self._run(wire, port, body, answer, calls)

    def _run(self, wire: Wire, port: int, body: Path, answer: int, calls: int) -> float:
        command = ["taskset", "-c", str(self.core), "h2load", "-t", "1", "-n", str(calls)]
        command += ["-c", str(self.connections), "-m", str(self.streams), "-d", str(body)]
        command += [part for header in wire.headers for part in ("-H", header)]
        command += [] if wire.grpc else ["--h1"]
        command += [f"http://127.0.0.1:{port}{wire.path}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            raise LoadError(f"{calls} calls were not answered in {_PATIENCE:.0f} seconds") from None
        succeeded = _number(r"status codes: (\d+) 2xx", done.stdout)
        if done.returncode or succeeded != calls:
            raise LoadError(f"{calls - succeeded:.0f} of {calls} calls failed")
        if wire.grpc and (found := _number(r"\((\d+)\) data", done.stdout)) != calls * answer:
            raise LoadError(f"{calls} answers had {found:.0f} bytes, not {answer} each; some calls must have failed")
        return _number(r"finished in .*, ([\d.]+) req/s", done.stdout)


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0
