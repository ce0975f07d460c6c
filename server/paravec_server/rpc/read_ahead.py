"""A stream's messages, read while earlier ones are worked on and handed out in batches of what has come together."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from paravec_model.errors import StoppedError

from .call import MOMENT

# Messages, and bytes of them, that are read ahead and at most come together. One message may be larger.
_MESSAGES, _BYTES = 64, 2**20


class _Buffer:
    """Between the thread that reads and the one that works."""

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count
        self._messages: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._changed = threading.Condition()

    def fill(self, messages: Iterator[bytes]) -> None:
        """Read while there is room; what there is no room for waits at the caller's, by flow control."""
        try:
            for message in messages:
                with self._changed:
                    self._changed.wait_for(partial(self._takes, len(message)))
                    if self._ended:
                        return
                    self._messages.append(message)
                    self._size += len(message)
                    self._count(len(message))
                    self._changed.notify_all()
            # If the messages ended because the call did, gRPC tells that in a moment. Who works has work meanwhile.
            time.sleep(MOMENT)
        except StoppedError:
            pass  # the caller is gone, which the call's own thread hears too
        finally:
            self.end()

    def _takes(self, size: int) -> bool:
        room = len(self._messages) < _MESSAGES and self._size + size <= _BYTES
        return self._ended or not self._messages or room

    def end(self) -> None:
        """Nothing more will come, or be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def batches(self) -> Iterator[list[bytes]]:
        """What has come since the last batch, as soon as there is something."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._messages)
                batch = list(self._messages)
                self._messages.clear()
                self._size = 0
                self._changed.notify_all()
            if not batch:
                return
            size = sum(map(len, batch))
            try:
                yield batch
            finally:
                self._count(-size)


@contextmanager
def read_ahead(messages: Iterator[bytes], count: Callable[[int], None]) -> Iterator[Iterator[list[bytes]]]:
    """The stream's messages in batches, read on a thread of their own. `count` is called with the bytes that have come,
    and with as many less than zero when they are worked off."""
    buffer = _Buffer(count)
    threading.Thread(target=buffer.fill, args=(messages,), name="read-ahead", daemon=True).start()
    try:
        yield buffer.batches()
    finally:
        buffer.end()
