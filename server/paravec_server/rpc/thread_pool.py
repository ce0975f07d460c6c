"""What gRPC runs calls on."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from ..telemetry.logs import event
from .errors import place_of

# Threads that run calls as long as they get on. Few stay in the caches: a thread for each of 64 calls cost a tenth of
# the rate of short calls.
_FEW = 8

# Seconds without a call begun until there are more threads, and without work until a thread ends.
_STALL, _IDLE = 0.005, 10.0

# What gRPC would hear the end of a call by. It counts calls with it for a limit that is not used: see `admission`.
_DONE: "Future[Any]" = Future()
_DONE.set_result(None)

_log = logging.getLogger(__name__)


def guarded(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do it; a thread that others count on goes on if it fails."""
    try:
        return work(*arguments)
    except Exception as error:
        event(_log, logging.ERROR, "work failed", **place_of(error))


class Threads(ThreadPoolExecutor):
    """A few threads, and more for as long as those are held up: by slow callers, turns to compute, streams.

    The thread that was last at work gets the next. gRPC asks for the type ThreadPoolExecutor; nothing of it is used.
    """

    def __init__(self, most: int, name: str) -> None:
        """At `most` so many threads; what comes beyond waits."""
        super().__init__(1)
        self._most, self._name = most, name
        self._work: deque[Callable[[], Any]] = deque()
        self._resting: list[threading.Lock] = []
        self._count = self._begun = 0
        self._mutex = threading.Lock()
        self._watched = threading.Event()
        threading.Thread(target=self._watch, name=f"{name}-watch", daemon=True).start()

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> "Future[Any]":
        """Have `work` done; what is returned does not tell when."""
        with self._mutex:
            self._work.append(partial(work, *args, **named))
            if self._resting:
                self._resting.pop().release()
            elif self._count < min(_FEW, self._most):
                self._start()
            elif not self._watched.is_set():
                self._watched.set()
        return _DONE

    def _start(self) -> None:
        self._count += 1
        try:
            threading.Thread(target=self._run, name=f"{self._name}-{self._count}", daemon=True).start()
        except RuntimeError:
            # The system has no more threads: the work waits for one there is, or for the next try.
            self._count -= 1
            self._watched.set()

    def _run(self) -> None:
        bell = threading.Lock()
        bell.acquire()
        while True:
            with self._mutex:
                work = self._work.popleft() if self._work else None
                if work:
                    self._begun += 1
                else:
                    self._resting.append(bell)
            if work:
                guarded(work)
                # What it worked on is not kept until the next comes.
                del work
            elif not bell.acquire(timeout=_IDLE):
                with self._mutex:
                    if bell in self._resting:
                        self._resting.remove(bell)
                        self._count -= 1
                        return
                # It was called in this very moment.
                bell.acquire()

    def _watch(self) -> None:
        """Twice as many threads whenever work waits and none is begun."""
        while True:
            self._watched.wait()
            begun = self._begun
            time.sleep(_STALL)
            with self._mutex:
                if not self._work:
                    self._watched.clear()
                elif self._begun == begun:
                    for _ in range(min(len(self._work), max(self._count, 1), self._most - self._count)):
                        self._start()


class Inline(ThreadPoolExecutor):
    """Runs work at once on gRPC's own thread: for calls that are answered without waiting for anything."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> "Future[Any]":
        """Done when it returns."""
        work(*args, **named)
        return _DONE
