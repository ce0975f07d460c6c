"""One line for each event, for people or as JSON, on standard error. No text of a document ever goes in."""

import json
import logging
import sys
from datetime import UTC, datetime
from functools import partial
from typing import Any


def event(log: logging.Logger, level: int, name: str, /, **facts: Any) -> None:
    """Log that `name` happened, with facts about it."""
    if log.isEnabledFor(level):
        log.log(level, name, extra={"facts": facts})


def configure(level: str, style: str, worker: int | None = None) -> None:
    """Send this package's events to standard error, in the given style ("text" or "json"), with the worker's number."""
    handler = logging.StreamHandler(sys.stderr)
    if worker is not None:
        handler.addFilter(partial(_add_worker, worker))
    handler.setFormatter(_JsonFormatter() if style == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("paravec_server").setLevel(level.upper())


def _add_worker(worker: int, record: logging.LogRecord) -> bool:
    record.facts = {"worker": worker} | getattr(record, "facts", {})
    return True


def _when(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{k}={v}" for k, v in getattr(record, "facts", {}).items())
        line = f"{_when(record)} {record.levelname.lower()} {record.getMessage()} {facts}".rstrip()
        return line.replace("\n", "\\n")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _when(record), "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps(line | getattr(record, "facts", {}), default=str)
