"""From documents to the rows of their words, by the tokenizer and the vocabulary of a model."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from .compiled import Kernel, kernel
from .errors import StoppedError
from .tokenizer import Characters, Tokenizer
from .vocabulary import Vocabulary, utf8

Document = str | Sequence[str]
"""A text, or the tokens of one."""

ALL = 2**31 - 1
"""More tokens than a document has."""

# Characters that become known together: when one of them is met for the first time.
_PAGE = 256

_CHARACTERS = 0x110000

# Bytes of texts that are not worth letting other threads of the interpreter run meanwhile: a tenth of one ms.
_BRIEF = 20_000

# Documents that are tokenized between two looks whether anybody still waits.
_LOOK = 16

# What the kernel says of characters in its table, see `reading`.
_GAP, _ODD, _FIRST = 1, 2, 3
_NEW = -1


class Words(NamedTuple):
    """What a model knows of some documents."""

    rows: "array[int]"
    """Rows of the vocabulary: of the known tokens, all documents' end to end."""
    ends: "array[int]"
    """0, and where each document ends among them."""
    counts: "array[int]"
    """Tokens of each document, known or not."""
    most: int
    """At most so many tokens of a document were looked up."""

    @property
    def known(self) -> list[int]:
        """Rows of each document."""
        return [end - begin for begin, end in pairwise(self.ends)]

    @property
    def taken(self) -> int:
        """Tokens that were looked up."""
        return sum(min(count, self.most) for count in self.counts)

    @classmethod
    def joined(cls, parts: Iterable["Words"], most: int) -> "Words":
        """The documents of all parts, one part after the other."""
        words = cls(array("I"), array("q", (0,)), array("q"), most)
        for rows, ends, counts, _ in parts:
            words.ends.extend(len(words.rows) + end for end in ends[1:])
            words.rows.extend(rows)
            words.counts.extend(counts)
        return words


class Reader:
    """Reads documents. Threads may share it."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._texts = _Texts(tokenizer.characters, vocabulary) if tokenizer.characters else None

    def __call__(self, documents: Sequence[Document], most: int = ALL, stop: Callable[[], bool] = bool) -> Words:
        """Cut texts into tokens, and look the first `most` of each document up; StoppedError once `stop` says True."""
        texts = [document for document in documents if isinstance(document, str)]
        if self._texts and len(texts) == len(documents):
            words = self._texts(texts, most)
            if words:
                return words
        tokens, counts = [], array("q")
        for i, document in enumerate(documents):
            if i % _LOOK == _LOOK - 1 and stop():
                raise StoppedError("stopped before all documents were read")
            found = self._tokenizer(document) if isinstance(document, str) else document
            counts.append(len(found))
            tokens.append(found if len(found) <= most else found[:most])
        return Words(*self._vocabulary.rows(tokens), counts, most)


class _Texts:
    """Reads texts of characters that do not depend on each other, in a tenth of the time that tokens take."""

    def __init__(self, characters: Characters, vocabulary: Vocabulary) -> None:
        self._symbol = characters.symbol
        # Memory that is not written is not there.
        self._table = np.zeros(_CHARACTERS, np.uint32)
        self._bounds = characters.min_len, characters.max_len, ord(characters.not_first) if characters.not_first else -1
        self._vocabulary = vocabulary

    def __call__(self, texts: Sequence[str], most: int) -> Words | None:
        """None if it cannot."""
        parts = [utf8(text) for text in texts]
        text = b"".join(parts)
        while True:
            data, ends = array("B", text), array("q", accumulate(map(len, parts), initial=0))
            counts = array("q", bytes(8 * len(texts)))
            # Between two tokens is a gap.
            rows = array("I", bytes(4 * min((len(data) + len(texts)) // 2, most * len(texts))))
            self._kernel(data, ends, counts, rows, most, brief=len(data) < _BRIEF)
            if min(counts, default=0) >= 0:
                del rows[ends[-1] :]
                return Words(rows, ends, counts, most)
            if min(counts) != _NEW:
                return None
            self._learn(texts)

    @cached_property
    def _kernel(self) -> Kernel:
        words = self._vocabulary
        return kernel("read_texts", self._table, *self._bounds, words.text, words.offsets, words.slots)

    def _learn(self, texts: Sequence[str]) -> None:
        """Fill the table for all that these texts hold, and what is near to it."""
        for page in {ord(character) // _PAGE for character in set("".join(texts))}:
            if not self._table[page * _PAGE]:
                # Its first number last: others may read meanwhile.
                for code in reversed(range(page * _PAGE, (page + 1) * _PAGE)):
                    self._table[code] = self._number(chr(code))

    def _number(self, character: str) -> int:
        symbol = self._symbol(character)
        if symbol == "":
            return _GAP
        if symbol is None or len(utf8(symbol)) > len(utf8(character)):
            return _ODD
        return _FIRST + ord(symbol)
