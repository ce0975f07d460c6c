"""Logs one line per event to standard error, as text or as JSON. Texts of documents are never logged."""

import json
import logging
import select
import sys
from datetime import UTC, datetime
from functools import partial
from typing import Any, TextIO

# Control characters and line separators are escaped: they could start another line or control a terminal.
_ESCAPES = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}


def event(log: logging.Logger, level: int, name: str, /, **facts: Any) -> None:
    """Log the event `name` with `facts` as its fields."""
    if log.isEnabledFor(level):
        log.log(level, name, extra={"facts": facts})


def configure(level: str, style: str, worker: int | None = None) -> None:
    """Log to standard error from `level` on, as `style` "text" or "json", with the worker's number if there is one."""
    # A log line that cannot be written (a full disk, a closed pipe) must not fail a call.
    logging.raiseExceptions = False
    handler = _Handler(sys.stderr)
    if worker is not None:
        handler.addFilter(partial(_add_worker, worker))
    handler.setFormatter(_JsonFormatter() if style == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("paravec_server").setLevel(level.upper())


class _Handler(logging.StreamHandler[TextIO]):
    """Drops lines that standard error cannot take at once: a blocked write would hang the server."""

    def emit(self, record: logging.LogRecord) -> None:
        if self._is_writable():
            super().emit(record)

    def _is_writable(self) -> bool:
        poll = select.poll()
        try:
            poll.register(self.stream, select.POLLOUT)
        except (OSError, ValueError):
            return True  # not pollable or closed: the write itself fails at once
        return bool(poll.poll(0))


def _add_worker(worker: int, record: logging.LogRecord) -> bool:
    record.facts = {"worker": worker} | getattr(record, "facts", {})
    return True


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{k}={v}" for k, v in getattr(record, "facts", {}).items())
        line = f"{_timestamp(record)} {record.levelname.lower()} {record.getMessage()} {facts}".rstrip()
        return line.translate(_ESCAPES)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _timestamp(record), "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps(line | getattr(record, "facts", {}), default=str)
