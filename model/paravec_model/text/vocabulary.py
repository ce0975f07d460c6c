"""The words of a model in arrays that are mapped: none is read, nor held by a process, before it is asked for."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kernels.interface import Structure, address, kernel

Array = npt.NDArray[Any]

# Bytes of a call that is not worth letting other threads of the interpreter run meanwhile: a tenth of one ms.
_BRIEF = 20_000


def slot_count(size: int) -> int:
    """Slots of the hash table for so many words: a power of two, two to four times as many."""
    return 2 << size.bit_length()


def vocabulary_arrays(words: Sequence[str]) -> dict[str, Array]:
    """The arrays of an artifact that hold these words, which must differ; by name, see kernels/hash_table.h."""
    encoded = [utf8(word) for word in words]
    text = np.frombuffer(b"".join(encoded), np.uint8)
    offsets = np.fromiter(accumulate(map(len, encoded), initial=0), np.int64)
    slots = np.zeros(slot_count(len(words)), np.uint64)
    unfilled = Structure("vocabulary", text=text, offsets=offsets, slots=None)
    kernel("fill_slots")(unfilled.address, address(slots), len(slots))
    return {"vocabulary_text": text, "vocabulary_offsets": offsets, "vocabulary_slots": slots}


@dataclass(frozen=True)
class Vocabulary:
    """The words by row, and the row of each word, in the arrays that `vocabulary_arrays` makes."""

    text: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    slots: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> str:
        """The word of a row of 0 to len - 1; UnicodeDecodeError if the arrays are damaged."""
        return self.text[self.offsets[row] : self.offsets[row + 1]].tobytes().decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def id_of(self, word: str) -> int | None:
        """The row of a word; None if it is not known."""
        rows, _ = self.ids_of([[word]])
        return rows[0] if rows else None

    def ids_of(self, documents: Sequence[Sequence[str]]) -> tuple["array[int]", "array[int]"]:
        """The rows of the documents' known tokens, end to end; and 0 and where each document ends among them."""
        if len(documents) == 1:
            tokens, ends = documents[0], array("q", (0, len(documents[0])))
        else:
            tokens, ends = list(chain.from_iterable(documents)), array("q", accumulate(map(len, documents), initial=0))
        text, rows = utf8("".join(tokens)), array("I", map(len, tokens))
        kernel("look_up")(
            self.structure.address,
            text,
            len(text),
            *rows.buffer_info(),
            *ends.buffer_info(),
            hold_gil=len(text) < _BRIEF,
        )
        del rows[ends[-1] :]
        return rows, ends

    @cached_property
    def structure(self) -> Structure:
        """The arrays as kernels take them."""
        return Structure("vocabulary", text=self.text, offsets=self.offsets, slots=self.slots)

    def is_consistent(self) -> bool:
        """Whether each row's word is text, and found in that row. Takes time and memory for each word."""
        try:
            rows, _ = self.ids_of([list(self)])
        except UnicodeDecodeError:
            return False
        return rows == array("I", range(len(self)))


def utf8(text: str) -> bytes:
    """Bytes that stand for one string only, which may hold surrogates on their own."""
    return text.encode("utf-8", "surrogatepass")
