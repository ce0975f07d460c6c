"""The executors that gRPC runs calls on."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from ..telemetry.logs import event
from .errors import error_location

# Threads while all calls make progress. Few threads stay in the CPU caches: with a ThreadPoolExecutor of a thread for
# each call, the rate of calls of 8 texts is an eighth lower.
_USUAL_THREADS = 8

# Without a call begun for so long, more threads start.
_STALL_SECONDS = 0.005

# A thread without work for so long ends.
_IDLE_SECONDS = 10.0

# grpcio only uses the returned future for maximum_concurrent_rpcs, which we do not set; one finished future serves all.
_DONE: "Future[Any]" = Future()
_DONE.set_result(None)

_log = logging.getLogger(__name__)


def log_failure(error: Exception) -> None:
    """Log where work failed, so that the thread can go on with other work."""
    event(_log, logging.ERROR, "work failed", **error_location(error))


class ElasticThreadPool(ThreadPoolExecutor):
    """A few threads, and more for as long as those are blocked: by slow callers, compute slots or streams.

    The thread that worked last gets the next work, since its stack is in the caches. grpcio asks for a
    ThreadPoolExecutor; nothing of that class is used.
    """

    def __init__(self, max_threads: int, name: str) -> None:
        """Work beyond `max_threads` waits in a queue."""
        super().__init__(1)
        self._max_threads, self._name = max_threads, name
        self._work: deque[Callable[[], Any]] = deque()
        self._resting: list[threading.Lock] = []
        self._count = self._begun = 0
        self._mutex = threading.Lock()
        self._watched = threading.Event()
        threading.Thread(target=self._watch, name=f"{name}-watch", daemon=True).start()

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> "Future[Any]":
        """Run `work` on a thread. The returned future is always done."""
        with self._mutex:
            self._work.append(partial(work, *args, **named))
            if self._resting:
                self._resting.pop().release()
            elif self._count < min(_USUAL_THREADS, self._max_threads):
                self._start()
            elif not self._watched.is_set():
                self._watched.set()
        return _DONE

    def _start(self) -> None:
        self._count += 1
        try:
            threading.Thread(target=self._run, name=f"{self._name}-{self._count}", daemon=True).start()
        except RuntimeError:
            # The system has no more threads. The work waits for one of ours, or for the next attempt.
            self._count -= 1
            self._watched.set()

    def _run(self) -> None:
        wake_up = threading.Lock()
        wake_up.acquire()
        while True:
            with self._mutex:
                work = self._work.popleft() if self._work else None
                if work:
                    self._begun += 1
                else:
                    self._resting.append(wake_up)
            if work:
                try:
                    work()
                except Exception as error:
                    log_failure(error)
                # Do not keep its arguments until the next work comes.
                del work
            elif not wake_up.acquire(timeout=_IDLE_SECONDS):
                with self._mutex:
                    if wake_up in self._resting:
                        self._resting.remove(wake_up)
                        self._count -= 1
                        return
                # `submit` chose this thread just now, and its release is about to come.
                wake_up.acquire()

    def _watch(self) -> None:
        """Double the threads whenever work waits and no thread has begun any."""
        while True:
            self._watched.wait()
            begun = self._begun
            time.sleep(_STALL_SECONDS)
            with self._mutex:
                if not self._work:
                    self._watched.clear()
                elif self._begun == begun:
                    for _ in range(min(len(self._work), max(self._count, 1), self._max_threads - self._count)):
                        self._start()


class InlineExecutor(ThreadPoolExecutor):
    """Runs work at once on gRPC's own thread: for calls that never wait."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> "Future[Any]":
        """Run `work` before returning."""
        work(*args, **named)
        return _DONE
