"""Counters of what the server does, in memory that all workers share, so that any process can report the total.

Each worker writes to its own counters. A worker that replaces one that died goes on from the dead worker's totals.
Values are float64, which counts exactly up to 2**53. metrics.py maps them to the names of Prometheus metrics.
"""

import mmap
import os
import threading
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import grpc

COUNTED_METHODS = (
    "Embed",
    "EmbedStream",
    "FindSimilar",
    "GetDocumentVectors",
    "GetModel",
    "ModelInfer",
    "CreateEmbeddings",
)
"""RPC methods that are counted, without their service's name. Health and reflection are not."""

CODES = tuple(grpc.StatusCode)
"""Statuses that a call can end with."""

REASONS = (
    "refused_calls",
    "refused_streams",
    "refused_bytes",
    "refused_work",
    "refused_waited",
    "loading",
    "draining",
    "credentials",
)
"""Why a call is refused: over a bound on work in flight, waited too long, not serving, or no valid token."""

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram of call durations, in seconds."""

GAUGES = ("calls_in_flight", "streams_in_flight", "bytes_in_flight", "work_in_flight", "state", "heartbeat", "pid")
"""Values that rise and fall; they restart at 0 with each worker. `work_in_flight` is in microseconds of one core,
`heartbeat` is the time.monotonic() at which the worker last made progress."""

CALLS, STREAMS, BYTES, WORK, STATE = range(5)
"""Indexes of the first gauges in `WorkerCounters.cells`, for hot paths."""

TOTALS = ("documents", "tokens", "unknown_tokens", "inference_seconds", "restarts")
"""Values that only rise. The supervisor counts `restarts`."""

STARTING, SERVING, DRAINING = 0.0, 1.0, 2.0
"""Values of the gauge `state`."""

_CELLS_PER_METHOD = len(CODES) + len(BUCKETS) + 2
_CELLS_PER_WORKER = len(GAUGES) + len(TOTALS) + len(REASONS) + _CELLS_PER_METHOD * len(COUNTED_METHODS)
_INDEX = {name: i for i, name in enumerate((*GAUGES, *TOTALS, *REASONS))}
_DOCUMENTS, _TOKENS, _UNKNOWN_TOKENS, _SECONDS = (_INDEX[name] for name in TOTALS[:4])
_FIRST_CELL = {method: len(_INDEX) + _CELLS_PER_METHOD * i for i, method in enumerate(COUNTED_METHODS)}
_CODE_OFFSETS = {code: i for i, code in enumerate(CODES)}


class WorkerCounters:
    """The counters of one worker. Only that worker writes `cells`, under `lock`; any process may read them."""

    def __init__(self, cells: "memoryview[float]") -> None:
        self.cells: Any = cells
        self.lock = threading.Lock()

    def __getitem__(self, name: str) -> float:
        return float(self.cells[_INDEX[name]])

    def __setitem__(self, name: str, value: float) -> None:
        self.cells[_INDEX[name]] = value

    def add(self, name: str, amount: float = 1) -> None:
        """Add `amount` to the counter `name`."""
        with self.lock:
            self[name] += amount

    def count_inference(self, documents: int, tokens: int, unknown_tokens: int, seconds: float) -> None:
        """Add one batch of inference: `seconds` is time in the kernels."""
        cells = self.cells
        with self.lock:
            cells[_DOCUMENTS] += documents
            cells[_TOKENS] += tokens
            cells[_UNKNOWN_TOKENS] += unknown_tokens
            cells[_SECONDS] += seconds

    def count_call(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """Count a call that ended with `code` after `seconds`."""
        first, cells = _FIRST_CELL[method], self.cells
        with self.lock:
            cells[first + _CODE_OFFSETS[code]] += 1
            cells[first + len(CODES) + bisect_left(BUCKETS, seconds)] += 1
            cells[first + _CELLS_PER_METHOD - 1] += seconds

    def calls(self, method: str) -> tuple[Sequence[float], Sequence[float], float]:
        """Calls ended with each of CODES; calls in each of BUCKETS and above the last; total seconds."""
        first = _FIRST_CELL[method]
        cells = self.cells[first : first + _CELLS_PER_METHOD].tolist()
        return cells[: len(CODES)], cells[len(CODES) : -1], cells[-1]

    def reset(self, pid: int = 0) -> None:
        """Set the gauges to 0 for a new worker with this `pid`, or for none."""
        for name in GAUGES:
            self[name] = 0
        self["pid"] = pid


class SharedCounters:
    """The counters of all workers, and a flag of their supervisor."""

    def __init__(self, workers: int = 1, fd: int | None = None) -> None:
        """`fd`: the inherited `fileno` of existing counters; None creates new ones."""
        size = 8 * (_CELLS_PER_WORKER * workers + 1)
        self.fileno = os.memfd_create("paravec-counters") if fd is None else fd
        if fd is None:
            os.ftruncate(self.fileno, size)
        cells = memoryview(mmap.mmap(self.fileno, size)).cast("d")
        self.workers = [
            WorkerCounters(cells[_CELLS_PER_WORKER * i : _CELLS_PER_WORKER * (i + 1)]) for i in range(workers)
        ]
        self._shared: Any = cells[_CELLS_PER_WORKER * workers :]

    @property
    def hang(self) -> bool:
        """Whether any worker hangs, as the supervisor sees it."""
        return bool(self._shared[0])

    @hang.setter
    def hang(self, hang: bool) -> None:
        self._shared[0] = hang
