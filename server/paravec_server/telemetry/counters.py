"""Figures of what the server does, in memory that all workers share, so that one process can tell those of all.

Each worker adds to a row of its own; what a worker that died has counted stays in its row, for the next one there. Rows
are float64, which counts exactly to 2**53. What the figures are called outside is metrics.py's business.
"""

import mmap
import os
import threading
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import grpc

METHODS = ("Embed", "EmbedStream", "FindSimilar", "GetModel", "ModelInfer")
"""Calls that are counted, by the last part of their names."""

CODES = tuple(grpc.StatusCode)
"""What a call can end with."""

REASONS = (
    "refused_calls",
    "refused_bytes",
    "refused_work",
    "refused_waited",
    "loading",
    "draining",
    "credentials",
)
"""Why a call is refused: too much of something in flight, too long a wait, the wrong moment, the wrong caller."""

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of a call's seconds."""

GAUGES = ("calls_in_flight", "bytes_in_flight", "work_in_flight", "state", "heartbeat", "pid")
"""What rises and falls, and is set back when a worker starts. Work is in microseconds of one core; `heartbeat` is
time.monotonic(); `pid` the worker's."""

CALLS, BYTES, WORK, STATE = range(4)
"""Cells of gauges, for whom a name would be too slow."""

TOTALS = ("documents", "tokens", "unknown_tokens", "inference_seconds", "restarts")
"""What only rises. `restarts` is counted by who starts the workers."""

STARTING, SERVING, DRAINING = 0.0, 1.0, 2.0
"""Values of the gauge `state`."""

_CALL = len(CODES) + len(BUCKETS) + 2
_FIELDS = len(GAUGES) + len(TOTALS) + len(REASONS) + _CALL * len(METHODS)
_INDEX = {name: i for i, name in enumerate((*GAUGES, *TOTALS, *REASONS))}
_DOCUMENTS, _TOKENS, _UNKNOWN_TOKENS, _SECONDS = (_INDEX[name] for name in TOTALS[:4])
_FIRST_CELLS = {method: len(_INDEX) + _CALL * i for i, method in enumerate(METHODS)}
_POSITIONS = {code: i for i, code in enumerate(CODES)}


class Row:
    """The figures of one worker. The worker writes its `cells` under `lock`; others read them at any time."""

    def __init__(self, cells: "memoryview[float]") -> None:
        self.cells: Any = cells
        self.lock = threading.Lock()

    def __getitem__(self, name: str) -> float:
        return float(self.cells[_INDEX[name]])

    def __setitem__(self, name: str, value: float) -> None:
        self.cells[_INDEX[name]] = value

    def add(self, name: str, amount: float = 1) -> None:
        """Add to a figure."""
        with self.lock:
            self[name] += amount

    def inferred(self, documents: int, tokens: int, unknown_tokens: int, seconds: float) -> None:
        """Add to TOTALS."""
        cells = self.cells
        with self.lock:
            cells[_DOCUMENTS] += documents
            cells[_TOKENS] += tokens
            cells[_UNKNOWN_TOKENS] += unknown_tokens
            cells[_SECONDS] += seconds

    def ended(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """Count a call."""
        first, cells = _FIRST_CELLS[method], self.cells
        with self.lock:
            cells[first + _POSITIONS[code]] += 1
            cells[first + len(CODES) + bisect_left(BUCKETS, seconds)] += 1
            cells[first + _CALL - 1] += seconds

    def calls(self, method: str) -> tuple[Sequence[float], Sequence[float], float]:
        """How many calls ended with each of CODES; how many in each of BUCKETS and beyond; their seconds in all."""
        first = _FIRST_CELLS[method]
        cells = self.cells[first : first + _CALL].tolist()
        return cells[: len(CODES)], cells[len(CODES) : -1], cells[-1]

    def reset(self, pid: int = 0) -> None:
        """The row has another worker now, or 0 for none: what rises and falls begins anew."""
        for name in GAUGES:
            self[name] = 0
        self["pid"] = pid


class Figures:
    """The rows of all workers, and what their parent says."""

    def __init__(self, workers: int = 1, fd: int | None = None) -> None:
        """`fd`: the `fileno` of the process that made them; makes them if None."""
        size = 8 * (_FIELDS * workers + 1)
        self.fileno = os.memfd_create("paravec-figures") if fd is None else fd
        if fd is None:
            os.ftruncate(self.fileno, size)
        cells = memoryview(mmap.mmap(self.fileno, size)).cast("d")
        self.rows = [Row(cells[_FIELDS * i : _FIELDS * (i + 1)]) for i in range(workers)]
        self._shared: Any = cells[_FIELDS * workers :]

    @property
    def hang(self) -> bool:
        """Whether a worker hangs."""
        return bool(self._shared[0])

    @hang.setter
    def hang(self, hang: bool) -> None:
        self._shared[0] = hang
