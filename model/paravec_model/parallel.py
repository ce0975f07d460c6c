"""Work on several threads, whose results come in the order of the items."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(work: Callable[[T], R], items: Iterable[T], threads: int, ahead: int) -> Iterator[R]:
    """`work` of each item, in order. At most `ahead` items are begun or wait beyond the result that comes next.

    As Executor.map, but items are taken only as far as that, so there may be any number of them. After an error, and if
    the results are no longer wanted, no more items are begun.
    """
    waiting = deque[Future[R]]()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
