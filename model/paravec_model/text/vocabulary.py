"""The words of a model, in memory-mapped arrays: the operating system reads only the pages that a look-up touches."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from operator import methodcaller
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kernels.interface import Structure, address, kernel

Array = npt.NDArray[Any]

HOLD_GIL_BYTES = 20_000
"""Kernels of text keep the GIL for shorter inputs, about 0.1 ms: to get it back can take longer than the work."""


def slot_count(size: int) -> int:
    """Slots of the hash table for `size` words: a power of two, two to four times `size`."""
    return 2 << size.bit_length()


def vocabulary_arrays(words: Sequence[str]) -> dict[str, Array]:
    """The arrays of an artifact, by name, that hold these distinct words; kernels/hash_table.h describes them."""
    encoded = [utf8(word) for word in words]
    text = np.frombuffer(b"".join(encoded), np.uint8)
    offsets = np.fromiter(accumulate(map(len, encoded), initial=0), np.int64)
    return {"vocabulary_text": text, "vocabulary_offsets": offsets, "vocabulary_slots": hash_table(text, offsets)}


def hash_table(text: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """The hash table of words that lie in `text`, as `offsets` says."""
    slots = np.zeros(slot_count(len(offsets) - 1), np.uint64)
    unhashed = Structure("vocabulary", text=text, offsets=offsets, slots=None)
    kernel("fill_hash_table")(unhashed.address, address(slots), len(slots))
    return slots


@dataclass(frozen=True)
class Vocabulary:
    """Maps words to token ids and back, in the arrays of `vocabulary_arrays`. A token id is a row of the matrices."""

    text: npt.NDArray[np.uint8]
    """All words as UTF-8, end to end."""
    offsets: npt.NDArray[np.int64]
    """Where each word begins in `text`, and where the last ends; shape (words + 1,)."""
    slots: npt.NDArray[np.uint64]
    """The hash table."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, token_id: int) -> str:
        """The word of a token id from 0 to len - 1; UnicodeDecodeError if the arrays are damaged."""
        return self.text[self.offsets[token_id] : self.offsets[token_id + 1]].tobytes().decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def id_of(self, word: str) -> int | None:
        """The token id of a word; None if the vocabulary lacks it."""
        ids, _ = self.ids_of([[word]])
        return ids[0] if ids else None

    def ids_of(self, documents: Sequence[Sequence[str]]) -> tuple["array[int]", "array[int]"]:
        """The token ids of the documents' known tokens, as `ids` and `ends` of `TokenIds`."""
        if len(documents) == 1:
            tokens, ends = documents[0], array("q", (0, len(documents[0])))
        else:
            tokens, ends = list(chain.from_iterable(documents)), array("q", accumulate(map(len, documents), initial=0))
        text, ids = utf8("".join(tokens)), array("I", map(len, tokens))
        kernel("tokens_to_ids")(
            self.structure.address,
            text,
            len(text),
            *ids.buffer_info(),
            *ends.buffer_info(),
            hold_gil=len(text) < HOLD_GIL_BYTES,
        )
        del ids[ends[-1] :]
        return ids, ends

    @cached_property
    def structure(self) -> Structure:
        """The arrays for kernels."""
        return Structure("vocabulary", text=self.text, offsets=self.offsets, slots=self.slots)

    def is_consistent(self) -> bool:
        """Whether every word is valid text and the hash table finds it. Reads all words into memory."""
        try:
            ids, _ = self.ids_of([list(self)])
        except UnicodeDecodeError:
            return False
        return ids == array("I", range(len(self)))


class WordNumbers:
    """Numbers words in the order in which they are met: a vocabulary that lacks no word. Threads may share it."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def ids_of(self, documents: Sequence[Sequence[str]]) -> tuple["array[int]", "array[int]"]:
        """As `Vocabulary.ids_of`, for all tokens."""
        numbers = self._numbers
        with self._lock:
            ids = array("I", [numbers.setdefault(token, len(numbers)) for token in chain.from_iterable(documents)])
        return ids, array("q", accumulate(map(len, documents), initial=0))


utf8: Callable[[str], bytes] = methodcaller("encode", "utf-8", "surrogatepass")
"""Encodes text as UTF-8, lone surrogates too, so that every string of Python has its own bytes."""
