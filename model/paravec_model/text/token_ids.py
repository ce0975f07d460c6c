"""From documents to the rows of their words, by the tokenizer and the vocabulary of a model."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np

from ..kernels.interface import CONSTANTS, Structure, kernel
from ..options import Stop, raise_if_stopped
from .tokenizer import Characters, Tokenizer
from .vocabulary import Vocabulary, utf8

Document = str | Sequence[str]
"""A text, or the tokens of one."""

NO_LIMIT = 2**31 - 1
"""More tokens than a document has."""

_CHARACTERS = 0x110000

_UNKNOWN, _GAP, _DEPENDS, _FIRST_SYMBOL = (CONSTANTS[name] for name in ("UNKNOWN", "GAP", "DEPENDS", "FIRST_SYMBOL"))
_READ, _NEW_CHARACTER = CONSTANTS["READ"], CONSTANTS["NEW_CHARACTER"]

# Bytes of texts that are not worth letting other threads of the interpreter run meanwhile: a tenth of one ms.
_BRIEF = 20_000

# Documents that are tokenized between two looks whether anybody still waits.
_LOOK = 16

# Characters that become known between two such looks.
_FEW = 4096


@dataclass
class TokenIds:
    """What a model knows of some documents."""

    ids: "array[int]"
    """Rows of the vocabulary: of the known tokens, all documents' end to end."""
    ends: "array[int]"
    """0, and where each document ends among them."""
    token_counts: "array[int]"
    """Tokens of each document, known or not."""
    max_tokens: int
    """At most so many tokens of a document were looked up."""

    @property
    def known_counts(self) -> list[int]:
        """Rows of each document."""
        return [end - begin for begin, end in pairwise(self.ends)]

    @cached_property
    def used(self) -> int:
        """Tokens that were looked up."""
        return sum(min(count, self.max_tokens) for count in self.token_counts)

    @classmethod
    def concatenate(cls, parts: Iterable["TokenIds"], most: int) -> "TokenIds":
        """The documents of all parts, one part after the other."""
        words = cls(array("I"), array("q", (0,)), array("q"), most)
        for part in parts:
            words.ends.extend(len(words.ids) + end for end in part.ends[1:])
            words.ids.extend(part.ids)
            words.token_counts.extend(part.token_counts)
        return words


class TokenIdReader:
    """Reads documents. Threads may share it."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._texts = _Texts(tokenizer.characters, vocabulary) if tokenizer.characters else None

    def __call__(self, documents: Sequence[Document], most: int = NO_LIMIT, stop: Stop = bool) -> TokenIds:
        """Cut texts into tokens, and look the first `most` of each document up; StoppedError once `stop` says True."""
        texts = [document for document in documents if isinstance(document, str)]
        if self._texts and texts:
            words = self._texts(texts, most, stop) if len(texts) == len(documents) else None
            if words:
                return words
            if len(documents) > 1:
                # One that goes another way must not take the others with it.
                return TokenIds.concatenate((self([one], most, stop) for one in _while_wanted(documents, stop)), most)
        tokens = [self._tokenizer(one) if isinstance(one, str) else one for one in _while_wanted(documents, stop)]
        counts = array("q", map(len, tokens))
        cut = [some if len(some) <= most else some[:most] for some in tokens]
        return TokenIds(*self._vocabulary.ids_of(cut), counts, most)


def _while_wanted(documents: Sequence[Document], stop: Stop) -> Iterator[Document]:
    for i, document in enumerate(documents):
        if i % _LOOK == _LOOK - 1:
            raise_if_stopped(stop)
        yield document


class _Texts:
    """Reads texts of characters that do not depend on each other, in a tenth of the time that tokens take."""

    def __init__(self, characters: Characters, vocabulary: Vocabulary) -> None:
        self._symbol = characters.symbol
        # Memory that is not written is not there.
        self._table = np.zeros(_CHARACTERS, np.uint32)
        self._characters = Structure(
            "characters",
            table=self._table,
            min_len=characters.min_len,
            max_len=characters.max_len,
            not_first=ord(characters.not_first) if characters.not_first else -1,
        )
        self._vocabulary = vocabulary

    def __call__(self, texts: Sequence[str], most: int, stop: Stop) -> TokenIds | None:
        """None if it cannot."""
        parts = [utf8(text) for text in texts]
        text = b"".join(parts)
        while True:
            data, ends = array("B", text), array("q", accumulate(map(len, parts), initial=0))
            counts = array("q", bytes(8 * len(texts)))
            # Between two tokens is a gap.
            rows = array("I", bytes(4 * min((len(data) + len(texts)) // 2, most * len(texts))))
            outcome = kernel("read_texts")(
                self._characters.address,
                self._vocabulary.structure.address,
                *data.buffer_info(),
                ends.buffer_info()[0],
                *counts.buffer_info(),
                *rows.buffer_info(),
                most,
                hold_gil=len(data) < _BRIEF,
            )
            if outcome == _READ:
                del rows[ends[-1] :]
                return TokenIds(rows, ends, counts, most)
            if outcome != _NEW_CHARACTER:
                return None
            self._learn(texts, stop)

    def _learn(self, texts: Sequence[str], stop: Stop) -> None:
        """Fill the table for all that these texts hold. No more: who brings a character may not make others wait."""
        for i, character in enumerate(set("".join(texts))):
            if i % _FEW == _FEW - 1:
                raise_if_stopped(stop)
            if self._table[ord(character)] == _UNKNOWN:
                self._table[ord(character)] = self._number(character)

    def _number(self, character: str) -> int:
        symbol = self._symbol(character)
        if symbol == "":
            return _GAP
        if symbol is None or len(utf8(symbol)) > len(utf8(character)):
            return _DEPENDS
        return _FIRST_SYMBOL + ord(symbol)
