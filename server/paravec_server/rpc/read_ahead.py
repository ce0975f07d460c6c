"""Requests of a stream, read while earlier ones are worked on, and handed out in batches of those that have come."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from paravec_model.errors import StoppedError

from .call import CANCELLATION_DELAY_SECONDS

# How much is read ahead, which is also the largest batch. A single request may have more bytes.
_MAX_REQUESTS, _MAX_BYTES = 64, 2**20


class _Buffer:
    """Between the thread that reads and the one that works."""

    def __init__(self, count_bytes: Callable[[int], None]) -> None:
        self._count_bytes = count_bytes
        self._requests: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._changed = threading.Condition()

    def fill(self, requests: Iterator[bytes]) -> None:
        """Read while there is room. Then gRPC's flow control makes the caller wait."""
        try:
            for request in requests:
                with self._changed:
                    self._changed.wait_for(partial(self._has_room, len(request)))
                    if self._ended:
                        return
                    self._requests.append(request)
                    self._size += len(request)
                    self._count_bytes(len(request))
                    self._changed.notify_all()
            # If the requests ended because the call was cancelled, gRPC reports that a moment later.
            time.sleep(CANCELLATION_DELAY_SECONDS)
        except StoppedError:
            pass  # The call's own thread sees the cancellation too.
        finally:
            self.end()

    def _has_room(self, size: int) -> bool:
        room = len(self._requests) < _MAX_REQUESTS and self._size + size <= _MAX_BYTES
        return self._ended or not self._requests or room

    def end(self) -> None:
        """Add no more requests, and let both threads go on."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def batches(self) -> Iterator[list[bytes]]:
        """The requests since the last batch, as soon as there is one."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._requests)
                batch = list(self._requests)
                self._requests.clear()
                self._size = 0
                self._changed.notify_all()
            if not batch:
                return
            size = sum(map(len, batch))
            try:
                yield batch
            finally:
                self._count_bytes(-size)


@contextmanager
def read_ahead(requests: Iterator[bytes], count_bytes: Callable[[int], None]) -> Iterator[Iterator[list[bytes]]]:
    """The stream's requests in batches, read on a thread of their own.

    `count_bytes` is called with the bytes of requests that have come, and with as many less than zero once they are
    worked on.
    """
    buffer = _Buffer(count_bytes)
    threading.Thread(target=buffer.fill, args=(requests,), name="read-ahead", daemon=True).start()
    try:
        yield buffer.batches()
    finally:
        buffer.end()
