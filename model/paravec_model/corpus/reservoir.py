"""A few of many, without holding the many."""

from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class Sample(Generic[T]):
    """Some of a stream's items, each as likely as any other; all if there are few (Vitter 1985, algorithm R)."""

    def __init__(self, size: int) -> None:
        self.items: list[T] = []
        self.count = 0
        """Items that went by."""
        self._size, self._random = size, Random(1)  # noqa: S311  # no secret

    def add(self, item: T) -> None:
        """Take in the next item, or pass it over."""
        self.count += 1
        if len(self.items) < self._size:
            self.items.append(item)
        elif (place := self._random.randrange(self.count)) < self._size:
            self.items[place] = item
