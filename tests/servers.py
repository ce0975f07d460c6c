"""Real paravec-server processes for tests, on free ports of the loopback."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from paravec_client import EmbeddingClient
from paravec_server.rpc.compute_slots import ComputeSlots

PATIENCE = 60.0


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for a condition; an AssertionError if it does not hold in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not hold in time"
        time.sleep(0.01)


def compute_slots(slots: int = 4) -> ComputeSlots:
    """Compute slots for a server in this process, with as many threads."""
    return ComputeSlots(slots, ThreadPoolExecutor(slots))


class Server:
    """A running server: its process, where it listens, and what it logged: lines, and of these the events."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self.events: list[dict[str, Any]] = []
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port: int = self.wait_for("listening").get("port", 0)
        self.target = f"127.0.0.1:{self.port}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            try:
                self.events.append(json.loads(line))
            except ValueError:
                continue
            self._events.put(self.events[-1])
        self._events.put(None)

    def wait_for(self, name: str) -> dict[str, Any]:
        """The next event of that name in the log."""
        while True:
            event = self._events.get(timeout=PATIENCE)
            assert event is not None, f"the server ended without {name}: {self.log}"
            if event["event"] == name:
                return event

    @property
    def log(self) -> str:
        """All that it logged so far."""
        return "".join(self.lines)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """The exit code, once it has ended and its log is read."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code


def stock_retries(**config: Any) -> list[tuple[str, str]]:
    """Options of a stock channel that tries again what is UNAVAILABLE; `config` is further configuration."""
    policy = {"maxAttempts": 4, "initialBackoff": "0.05s", "maxBackoff": "0.5s", "backoffMultiplier": 2}
    method = {"name": [{}], "retryPolicy": {**policy, "retryableStatusCodes": ["UNAVAILABLE"]}}
    return [("grpc.service_config", json.dumps({"methodConfig": [method], **config}))]


def command(model: Path, *flags: str) -> list[str]:
    """The command line of a server of `model` on a free port."""
    server = [sys.executable, "-m", "paravec_server.cli", "--model", str(model)]
    return [*server, "--listen", "127.0.0.1:0", "--log-format", "json", *flags]


def failure(*arguments: str) -> tuple[int, list[str]]:
    """Exit code and standard error of a server that cannot start."""
    ran = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return ran.returncode, ran.stderr.splitlines()


@contextmanager
def running(model: Path, *flags: str, ready: bool = True) -> Iterator[Server]:
    """A server of `model`, stopped at the end; by default only handed over once it is ready."""
    with subprocess.Popen(command(model, *flags), stderr=subprocess.PIPE, text=True) as process:
        server = None
        try:
            server = Server(process)
            if ready:
                with EmbeddingClient(server.target) as client:
                    client.wait_until_ready(PATIENCE)
            yield server
        finally:
            if "COVERAGE_PROCESS_CONFIG" in os.environ:
                # A process that is killed writes no coverage.
                with suppress(subprocess.TimeoutExpired):
                    process.terminate()
                    process.wait(5)
            process.kill()
            if server:
                # Workers end with their parent, and write until then.
                server.wait()
