"""One line for each event, for people or as JSON, on standard error. No text of a document ever goes in."""

import json
import logging
import select
import sys
from datetime import UTC, datetime
from functools import partial
from typing import Any, TextIO

# What could begin another line, or make a terminal do something, is written as an escape.
_ESCAPES = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}


def event(log: logging.Logger, level: int, name: str, /, **facts: Any) -> None:
    """Log that `name` happened, with facts about it."""
    if log.isEnabledFor(level):
        log.log(level, name, extra={"facts": facts})


def configure(level: str, style: str, worker: int | None = None) -> None:
    """Send this package's events to standard error, in the given style ("text" or "json"), with the worker's number."""
    # A log that cannot be written, the disk being full or nobody reading it, is not worth a call.
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
    """Writes lines that can be written at once: to wait for who reads them would be to hang with them."""

    def emit(self, record: logging.LogRecord) -> None:
        if self._is_writable():
            super().emit(record)

    def _is_writable(self) -> bool:
        poll = select.poll()
        try:
            poll.register(self.stream, select.POLLOUT)
        except (OSError, ValueError):
            return True  # no file, or closed: then writing fails at once
        return bool(poll.poll(0))


def _add_worker(worker: int, record: logging.LogRecord) -> bool:
    record.facts = {"worker": worker} | getattr(record, "facts", {})
    return True


def _when(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{k}={v}" for k, v in getattr(record, "facts", {}).items())
        line = f"{_when(record)} {record.levelname.lower()} {record.getMessage()} {facts}".rstrip()
        return line.translate(_ESCAPES)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _when(record), "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps(line | getattr(record, "facts", {}), default=str)
