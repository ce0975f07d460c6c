"""Messages of a stream that were sent and not yet answered, so that another stream can go on where one broke."""

import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

# Messages that are sent and not yet answered.
_IN_FLIGHT = 256

T = TypeVar("T")


class Unanswered(Generic[T]):
    """Keeps what is taken from a source until it is answered; the source is read no further than that has room.

    gRPC reads each stream's messages on a thread of its own. The thread of a broken stream may still be in the source,
    waiting for a message; so who reads holds a lock, and what it gets is sent by whichever stream is the current one.
    """

    def __init__(self, source: Iterator[T]) -> None:
        self.answered = 0
        """How many messages have been answered."""
        self.failure: Exception | None = None
        """What the source raised, after which it counts as ended."""
        self._source = source
        self._kept: dict[int, T] = {}
        self._taken = 0
        self._ended = False
        self._reading = threading.Lock()
        self._room = threading.Semaphore(_IN_FLIGHT)

    def messages(self) -> Iterator[T]:
        """What a new stream sends: all that is not answered, then what the source brings."""
        number = self.answered
        while self._is_taken(number):
            message = self._kept.get(number)
            if message is None:
                return  # a later stream has sent it and was answered
            yield message
            number += 1

    def answer(self) -> int:
        """The oldest message is answered; its number."""
        number = self.answered
        del self._kept[number]
        self.answered += 1
        self._room.release()
        return number

    def close(self) -> None:
        """Read no more."""
        self._ended = True
        self._room.release()

    def _is_taken(self, number: int) -> bool:
        if number >= self._taken:
            with self._reading:
                if number >= self._taken and not self._ended:
                    self._take()
        return number < self._taken

    def _take(self) -> None:
        self._room.acquire()
        if self._ended:
            return
        try:
            message = next(self._source)
        except StopIteration:
            self._ended = True
        except Exception as failure:
            self.failure = failure
            self._ended = True
        else:
            self._kept[self._taken] = message
            self._taken += 1
