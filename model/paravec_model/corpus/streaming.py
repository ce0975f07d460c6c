"""What one pass over a corpus can keep in constant memory: a digest and a random sample."""

import hashlib
import json
from random import Random
from typing import Generic, TypeVar

from .formats import Tags

T = TypeVar("T")


class ContentDigest:
    """SHA-256 over the tags and texts of documents, in order: equal corpora have equal digests."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, tags: Tags, text: str) -> None:
        """Add the next document."""
        self._hash.update(json.dumps([tags, text], separators=(",", ":")).encode("ascii") + b"\n")

    def hexdigest(self) -> str:
        """The digest of the documents so far."""
        return self._hash.hexdigest()


class Reservoir(Generic[T]):
    """A uniform random sample of at most `size` items of a stream (Vitter 1985, algorithm R)."""

    def __init__(self, size: int) -> None:
        self.items: list[T] = []
        self.count = 0
        """Items added so far, sampled or not."""
        # The fixed seed samples the same items of the same stream.
        self._size, self._random = size, Random(1)  # noqa: S311  # no secret

    def add(self, item: T) -> None:
        """Add the next item of the stream."""
        self.count += 1
        if len(self.items) < self._size:
            self.items.append(item)
        elif (index := self._random.randrange(self.count)) < self._size:
            self.items[index] = item
