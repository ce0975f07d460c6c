"""A stream's requests, read while earlier ones are worked on and handed out in batches of what has come together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Full, Queue
from typing import Any

import grpc

# Requests that are read ahead, and at most come together.
_READ_AHEAD = 64

# Seconds between two looks whether the stream's call has ended.
_LOOK = 1.0

_END = object()


@contextmanager
def read_ahead(requests: Iterator[Any]) -> Iterator[Iterator[list[Any]]]:
    """The stream's requests in batches, read on a thread of their own while there is room for them."""
    queue: Queue[Any] = Queue(_READ_AHEAD)
    gone = threading.Event()

    def put(item: Any) -> None:
        while not gone.is_set():
            try:
                queue.put(item, timeout=_LOOK)
                break
            except Full:
                continue

    def read() -> None:
        try:
            for request in requests:
                put(request)
        except grpc.RpcError:
            pass  # the caller is gone, which the call's own thread hears too
        finally:
            put(_END)

    threading.Thread(target=read, name="read-ahead", daemon=True).start()
    try:
        yield _batches(queue)
    finally:
        gone.set()


def _batches(queue: "Queue[Any]") -> Iterator[list[Any]]:
    while True:
        batch = [queue.get()]
        while len(batch) < _READ_AHEAD and not queue.empty():
            batch.append(queue.get_nowait())
        ended = batch[-1] is _END
        if ended:
            batch.pop()
        if batch:
            yield batch
        if ended:
            return
