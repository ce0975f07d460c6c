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

    def rate_over(self, wire: Wire, port: int, body: Path, answer: int, seconds: float) -> float:
        """The same over gRPC, for so long after a second; where connections may be of unequal speed, as with several
        workers, since in `rate` each has as many calls as the others, and the slowest is waited for."""
        said = self._said(wire, port, body, "-D", f"{seconds:g}", "--warm-up-time", "1")
        # Those of the first second are there, too.
        if not _number(r", (\d+) succeeded", said) or _number(r"\((\d+)\) data", said) % answer:
            raise LoadError(f"not all answers had {answer} bytes; some calls must have failed")
        return _number(r"finished in .*, ([\d.]+) req/s", said)

    def _run(self, wire: Wire, port: int, body: Path, answer: int, calls: int) -> float:
        said = self._said(wire, port, body, "-n", str(calls))
        succeeded = _number(r"status codes: (\d+) 2xx", said)
        if succeeded != calls:
            raise LoadError(f"{calls - succeeded:.0f} of {calls} calls failed")
        if wire.grpc and (found := _number(r"\((\d+)\) data", said)) != calls * answer:
            raise LoadError(f"{calls} answers had {found:.0f} bytes, not {answer} each; some calls must have failed")
        return _number(r"finished in .*, ([\d.]+) req/s", said)

    def _said(self, wire: Wire, port: int, body: Path, *flags: str) -> str:
        command = ["taskset", "-c", str(self.core), "h2load", "-t", "1", *flags]
        command += ["-c", str(self.connections), "-m", str(self.streams), "-d", str(body)]
        command += [part for header in wire.headers for part in ("-H", header)]
        command += [] if wire.grpc else ["--h1"]
        command += [f"http://127.0.0.1:{port}{wire.path}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            raise LoadError(f"the calls were not answered in {_PATIENCE:.0f} seconds") from None
        if done.returncode:
            raise LoadError(f"h2load failed: {done.stderr.strip() or done.returncode}")
        return done.stdout


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0
