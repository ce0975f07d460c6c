"""Several worker processes behind one port: started, watched, replaced when they die or hang, drained together.

Each worker is a whole server. All listen on the same address with SO_REUSEPORT, so that the kernel spreads connections
over them; they share the mapped model by the page cache, and `figures` by a file in memory. A worker listens only once
it can answer, so whoever gets a connection gets one that is ready.
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
from ..telemetry.counters import SERVING, Figures
from ..telemetry.liveness import GRACE, patience, silence, why_not_ready
from ..telemetry.logs import event
from ..telemetry.metrics import Facts, labels_of, limits_of, metrics_page
from ..telemetry.operations import serve_operations
from .listen import hold
from .signals import on_stop
from .worker import Place

# Seconds between two looks at the workers.
_LOOK = 0.1

# Seconds without a look after which it is this process that stood still.
_ASLEEP = 1.0

# Seconds after which a worker that died is replaced: at once if it had lived for long, else later each time.
_LONG_LIFE, _FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 0.5, 30.0

_log = logging.getLogger(__name__)


class _Worker:
    """One place for a worker, and who holds it now."""

    def __init__(self, place: Place, arguments: Sequence[str], settings: Settings) -> None:
        self._place, self._arguments, self._settings = place, arguments, settings
        self.row = place.row
        self.process: subprocess.Popen[bytes] | None = None
        self._started = self._due = 0.0
        self._pause = _FIRST_PAUSE
        self.has_served = False

    def look(self, now: float, awake: float) -> bool:
        """Start it, or another in its place, if there is none; end it if it has hung for long; whether it can be relied
        on. What it did before the moment `awake` is not known."""
        if self.process is None:
            if now >= self._due:
                self._start(now)
            return True
        code = self.process.poll()
        if code is not None:
            self._ended(code, now)
            return True
        if self.row["state"] == SERVING:
            self.has_served = True
        silent, bound = silence(self.row, awake), patience(self.row, self._settings)
        if silent > 3 * bound:
            event(_log, logging.ERROR, "worker hangs", worker=self._place.number, seconds=round(silent, 1))
            self.process.kill()
        return silent <= bound

    def _start(self, now: float) -> None:
        self.row.reset()
        self._started = now
        try:
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "paravec_server.cli", *self._arguments],
                env=os.environ | self._place.environment(),
                pass_fds=[self._place.figures.fileno],
            )
        except OSError as error:
            # No process can be had at the moment; the others go on.
            self._due = now + _LONGEST_PAUSE
            event(_log, logging.ERROR, "worker not started", worker=self._place.number, problem=error.strerror)
        else:
            event(_log, logging.INFO, "worker started", worker=self._place.number, pid=self.process.pid)

    def _ended(self, code: int, now: float) -> None:
        long_lived = now - self._started > _LONG_LIFE
        pause = 0.0 if long_lived else self._pause
        self._pause = _FIRST_PAUSE if long_lived else min(2 * self._pause, _LONGEST_PAUSE)
        self.process, self._due = None, now + pause
        self.row.reset()
        self.row["restarts"] += 1
        event(_log, logging.ERROR, "worker died", worker=self._place.number, code=code, next_in_seconds=pause)


class Supervisor:
    """The parent of the workers; it answers no calls itself."""

    def __init__(self, settings: Settings, arguments: Sequence[str]) -> None:
        self._settings = settings
        self._held = ExitStack()
        listen = hold(settings.listen, self._held)
        self.figures = Figures(settings.processes)
        places = (Place(self.figures, number, listen) for number in range(settings.processes))
        self._workers = [_Worker(place, arguments, settings) for place in places]
        self._reasons: SimpleQueue[str] = SimpleQueue()
        self._looked = self._awake = time.monotonic()
        # Seconds between two looks after which it is this process that hangs.
        self._patience = max(settings.hang_seconds, _ASLEEP)
        self._facts = Facts({}, limits_of(settings))

    def stop(self, reason: str) -> None:
        """Begin to drain; may be called where a signal comes in."""
        self._reasons.put(reason)

    def run(self) -> int:
        """Serve until `stop`; the exit code: that of the first worker if it cannot begin, 0 after a drain."""
        first = self._workers[0]
        if address := self._settings.operations_listen:
            page = metrics_page(self.figures, self._facts)
            serve_operations(address, self._why_not_live, lambda: why_not_ready(self.figures, self._settings), page)
        try:
            # One first: what is wrong with the model is said once.
            while not first.has_served:
                if self._stopped():
                    return 0
                process = first.process
                if process is not None and (code := process.poll()) is not None:
                    return 1 if code < 0 else code
                self._look([first])
            self._facts.model = labels_of(read_manifest(self._settings.model), self._settings)
            while not self._stopped():
                self._look(self._workers)
            return 0
        finally:
            self._drain()
            self._held.close()

    def _look(self, workers: Sequence[_Worker]) -> None:
        now = time.monotonic()
        if now - self._looked > _ASLEEP:
            # All of them may have stood still as this process did, in a machine that was paused.
            self._awake = now
        self._looked = now
        sound = [worker.look(now, self._awake) for worker in workers]
        self.figures.hang = not all(sound)

    def _why_not_live(self) -> str:
        if time.monotonic() - self._looked > self._patience:
            return "the process that looks after the workers hangs"
        return "a worker hangs" if self.figures.hang else ""

    def _stopped(self) -> bool:
        try:
            reason = self._reasons.get(timeout=_LOOK)
        except Empty:
            return False
        event(_log, logging.INFO, "stopping workers", reason=reason)
        return True

    def _drain(self) -> None:
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            process.terminate()
        self._looked = time.monotonic()
        self._patience = self._settings.drain_seconds + 2 * GRACE
        end = self._looked + self._settings.drain_seconds + GRACE
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
                continue
            event(_log, logging.ERROR, "worker did not drain", pid=process.pid)
            process.kill()
            process.wait()


def supervise(settings: Settings, arguments: Sequence[str]) -> int:
    """Serve with several workers until a signal stops them; the exit code."""
    supervisor = Supervisor(settings, arguments)
    on_stop(supervisor.stop)
    return supervisor.run()
