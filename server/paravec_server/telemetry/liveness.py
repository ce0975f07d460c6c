"""Liveness and readiness of a server, told from the counters that its workers share."""

import time

from ..settings import Settings
from .counters import DRAINING, SERVING, Figures, Row

# Seconds beyond the drain that a process is given to end.
GRACE = 5.0


def silence(row: Row, awake: float = 0.0) -> float:
    """Seconds since a worker's last sign of life, or since the moment `awake` if that was later; 0 before the first."""
    return max(0.0, time.monotonic() - max(row["heartbeat"], awake)) if row["heartbeat"] else 0.0


def patience(row: Row, settings: Settings) -> float:
    """Seconds of silence after which a worker hangs. While it drains, its main thread waits for calls to end."""
    return settings.drain_seconds + GRACE if row["state"] == DRAINING else settings.hang_seconds


def why_not_live(figures: Figures, settings: Settings) -> str:
    """Why a process that serves is not alive; "" if it is."""
    bounds = (patience(row, settings) for row in figures.rows if silence(row) > patience(row, settings))
    return next((f"nothing has moved for more than {bound:g} s" for bound in bounds), "")


def why_not_ready(figures: Figures, settings: Settings) -> str:
    """Why no worker takes calls; "" if one does."""
    serving = [row for row in figures.rows if row["state"] == SERVING]
    if any(silence(row) <= patience(row, settings) for row in serving):
        return ""
    if serving:
        return why_not_live(figures, settings)
    if any(row["state"] == DRAINING for row in figures.rows):
        return "draining: a stop was asked for"
    return "starting: the model is not loaded yet"
