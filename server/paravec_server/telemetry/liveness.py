"""Liveness and readiness of a server, computed from its workers' counters."""

import time

from ..settings import Settings
from .counters import DRAINING, SERVING, SharedCounters, WorkerCounters

GRACE_SECONDS = 5.0
"""How long a process may take to exit after `drain_seconds`."""


def heartbeat_age(worker: WorkerCounters, since: float = 0.0) -> float:
    """Seconds since a worker's last heartbeat, or since the time `since` if that is later; 0 before the first one."""
    return max(0.0, time.monotonic() - max(worker["heartbeat"], since)) if worker["heartbeat"] else 0.0


def hang_limit(worker: WorkerCounters, settings: Settings) -> float:
    """Seconds without a heartbeat after which a worker hangs. While it drains, its main thread waits and sends none."""
    return settings.drain_seconds + GRACE_SECONDS if worker["state"] == DRAINING else settings.hang_seconds


def liveness_problem(counters: SharedCounters, settings: Settings) -> str:
    """Why the process is not live; "" if it is."""
    for worker in counters.workers:
        limit = hang_limit(worker, settings)
        if heartbeat_age(worker) > limit:
            return f"no progress for more than {limit:g} s"
    return ""


def readiness_problem(counters: SharedCounters, settings: Settings) -> str:
    """Why no worker accepts calls; "" if one does."""
    serving = [worker for worker in counters.workers if worker["state"] == SERVING]
    if any(heartbeat_age(worker) <= hang_limit(worker, settings) for worker in serving):
        return ""
    if serving:
        return liveness_problem(counters, settings)
    if any(worker["state"] == DRAINING for worker in counters.workers):
        return "draining: the server is stopping"
    return "starting: the model is not loaded yet"
