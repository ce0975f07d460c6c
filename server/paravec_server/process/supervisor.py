"""Runs several worker processes behind one port: starts, watches and drains them, replaces those that die or hang.

Each worker is a whole server. All listen on one address with SO_REUSEPORT, so the kernel spreads connections over them.
They share the mapped model through the page cache, and their counters through a file in memory. A worker listens only
once it is ready, so every connection reaches a ready one.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from queue import Empty, SimpleQueue

from paravec_model.artifact import read_manifest

from ..settings import Settings
from ..telemetry.counters import SERVING, SharedCounters
from ..telemetry.liveness import GRACE_SECONDS, hang_limit, heartbeat_age, readiness_problem
from ..telemetry.logs import event
from ..telemetry.metrics import ServerInfo, in_flight_limits, metrics_page, model_labels
from ..telemetry.operations import serve_operations
from .listen import reserve_port
from .signals import on_stop
from .worker import WorkerIdentity

_POLL_SECONDS = 0.1

# A longer time between two polls means that this process was paused, maybe with the whole machine.
_PAUSED_SECONDS = 1.0

# A worker that lived for this long is replaced at once. Others wait for a backoff that doubles each time.
_STABLE_SECONDS = 10.0
_FIRST_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.5, 30.0

# A worker is killed when its last heartbeat is this many times as old as the limit at which liveness fails.
_KILL_FACTOR = 3

_log = logging.getLogger(__name__)


class _Worker:
    """One of the workers, over all processes that run it in turn."""

    def __init__(self, identity: WorkerIdentity, arguments: Sequence[str], settings: Settings) -> None:
        self._identity, self._arguments, self._settings = identity, arguments, settings
        self._counters = identity.counters
        self.process: subprocess.Popen[bytes] | None = None
        self._started_at = self._start_at = 0.0
        self._backoff = _FIRST_BACKOFF_SECONDS
        self.has_served = False

    def check(self, now: float, resumed_at: float) -> bool:
        """Start the worker if it does not run, kill it if it hangs for long. Returns False if it hangs.

        The age of its heartbeat counts from `resumed_at` at the earliest.
        """
        if self.process is None:
            if now >= self._start_at:
                self._start(now)
            return True
        code = self.process.poll()
        if code is not None:
            self._ended(code, now)
            return True
        if self._counters["state"] == SERVING:
            self.has_served = True
        age, limit = heartbeat_age(self._counters, resumed_at), hang_limit(self._counters, self._settings)
        if age > _KILL_FACTOR * limit:
            event(_log, logging.ERROR, "worker hangs", worker=self._identity.number, seconds=round(age, 1))
            self.process.kill()
        return age <= limit

    def _start(self, now: float) -> None:
        self._counters.reset()
        self._started_at = now
        number = self._identity.number
        try:
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "paravec_server.cli", *self._arguments],
                env=os.environ | self._identity.environment(),
                pass_fds=[self._identity.shared_counters.fileno],
            )
        except OSError as error:
            # The system has no memory or process left at the moment. The other workers go on.
            self._start_at = now + _MAX_BACKOFF_SECONDS
            event(_log, logging.ERROR, "worker not started", worker=number, problem=error.strerror)
        else:
            event(_log, logging.INFO, "worker started", worker=number, pid=self.process.pid)

    def _ended(self, code: int, now: float) -> None:
        stable = now - self._started_at > _STABLE_SECONDS
        wait = 0.0 if stable else self._backoff
        self._backoff = _FIRST_BACKOFF_SECONDS if stable else min(2 * self._backoff, _MAX_BACKOFF_SECONDS)
        self.process, self._start_at = None, now + wait
        self._counters.reset()
        self._counters["restarts"] += 1
        event(_log, logging.ERROR, "worker died", worker=self._identity.number, code=code, restart_in_seconds=wait)


class Supervisor:
    """The parent process of the workers. It answers no calls itself."""

    def __init__(self, settings: Settings, arguments: Sequence[str]) -> None:
        """`arguments`: the command line, which each worker gets too."""
        self._settings = settings
        self._reserved = ExitStack()
        listen = reserve_port(settings.listen, self._reserved)
        self._counters = SharedCounters(settings.processes)
        identities = (WorkerIdentity(self._counters, number, listen) for number in range(settings.processes))
        self._workers = [_Worker(identity, arguments, settings) for identity in identities]
        self._stop_reasons: SimpleQueue[str] = SimpleQueue()
        self._checked_at = self._resumed_at = time.monotonic()
        # Seconds without a check after which this process itself hangs.
        self._hang_seconds = max(settings.hang_seconds, _PAUSED_SECONDS)
        self._info = ServerInfo({}, in_flight_limits(settings))

    def stop(self, reason: str) -> None:
        """Make `run` drain the workers. Safe to call from a signal handler."""
        self._stop_reasons.put(reason)

    def run(self) -> int:
        """Serve until `stop`. Returns the exit code: the first worker's if that cannot start, 0 after a drain."""
        first = self._workers[0]
        if address := self._settings.operations_listen:
            page = metrics_page(self._counters, self._info)
            serve_operations(address, self._liveness_problem, self._readiness_problem, page)
        try:
            # One worker first, so that a broken model is reported once.
            while not first.has_served:
                if self._stopped():
                    return 0
                process = first.process
                if process is not None and (code := process.poll()) is not None:
                    return 1 if code < 0 else code
                self._check([first])
            self._info.model = model_labels(read_manifest(self._settings.model), self._settings)
            while not self._stopped():
                self._check(self._workers)
            return 0
        finally:
            self._drain()
            self._reserved.close()

    def _check(self, workers: Sequence[_Worker]) -> None:
        now = time.monotonic()
        if now - self._checked_at > _PAUSED_SECONDS:
            # The workers may have been paused too: count their heartbeats' age from now.
            self._resumed_at = now
        self._checked_at = now
        healthy = [worker.check(now, self._resumed_at) for worker in workers]
        self._counters.hang = not all(healthy)

    def _liveness_problem(self) -> str:
        if time.monotonic() - self._checked_at > self._hang_seconds:
            return "the supervisor hangs"
        return "a worker hangs" if self._counters.hang else ""

    def _readiness_problem(self) -> str:
        return readiness_problem(self._counters, self._settings)

    def _stopped(self) -> bool:
        """Wait for the next poll; True if a stop came before."""
        try:
            reason = self._stop_reasons.get(timeout=_POLL_SECONDS)
        except Empty:
            return False
        event(_log, logging.INFO, "stopping workers", reason=reason)
        return True

    def _drain(self) -> None:
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            process.terminate()
        self._checked_at = time.monotonic()
        self._hang_seconds = self._settings.drain_seconds + 2 * GRACE_SECONDS
        end = self._checked_at + self._settings.drain_seconds + GRACE_SECONDS
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
                continue
            event(_log, logging.ERROR, "worker did not drain", pid=process.pid)
            process.kill()
            process.wait()


def supervise(settings: Settings, arguments: Sequence[str]) -> int:
    """Serve with several workers until a signal stops them. Returns the exit code."""
    supervisor = Supervisor(settings, arguments)
    on_stop(supervisor.stop)
    return supervisor.run()
