"""Documents to token ids: the tokenizer and the vocabulary of a model together."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, repeat
from operator import sub
from typing import Any, TypeAlias

import numpy as np

from ..kernels.interface import CONSTANTS, Structure, kernel
from ..options import Stop, raise_if_stopped
from .forms import Forms
from .tokenizer import TermTokenizer, Tokenizer, words_tokenizer
from .vocabulary import HOLD_GIL_BYTES, Vocabulary, WordNumbers, utf8

Document: TypeAlias = str | Sequence[str]
"""A text, or its tokens."""

NO_LIMIT = 2**31 - 1
"""For `max_tokens`: more tokens than any document has."""

_CODE_POINTS = 0x110000

_UNKNOWN, _SEPARATOR, _CONTEXTUAL, _FIRST_MAPPED = (
    CONSTANTS[name] for name in ("UNKNOWN", "SEPARATOR", "CONTEXTUAL", "FIRST_MAPPED")
)
_DONE, _NEW_CHARACTER, _MORE_UNKNOWN = (CONSTANTS[name] for name in ("DONE", "NEW_CHARACTER", "MORE_UNKNOWN"))

# Forms that a call may meet for the first time before it has to begin again.
_UNKNOWN_ROOM = 256

# How often `stop` is called: after so many documents through a tokenizer in Python, or new characters.
_DOCUMENTS_PER_STOP = 16
_CHARACTERS_PER_STOP = 4096


@dataclass
class TokenIds:
    """Documents as ids of known tokens. An id is the token's row in the model's matrices."""

    ids: "array[int]"
    """uint32: the known tokens of all documents, end to end."""
    ends: "array[int]"
    """int64, one more than documents: document n is `ids[ends[n]:ends[n + 1]]`."""
    token_counts: "array[int]"
    """int64: all tokens of each document, known or not."""
    max_tokens: int
    """Tokens of a document after this many were not looked up."""

    @property
    def known_counts(self) -> list[int]:
        """Ids of each document."""
        return list(map(sub, self.ends[1:], self.ends))

    @cached_property
    def used(self) -> int:
        """Tokens of all documents that were looked up."""
        return sum(map(min, self.token_counts, repeat(self.max_tokens)))

    @classmethod
    def concatenate(cls, parts: Iterable["TokenIds"], max_tokens: int) -> "TokenIds":
        """The documents of all parts, in order."""
        joined = cls(array("I"), array("q", (0,)), array("q"), max_tokens)
        for part in parts:
            joined.ends.extend(len(joined.ids) + end for end in part.ends[1:])
            joined.ids.extend(part.ids)
            joined.token_counts.extend(part.token_counts)
        return joined


class TokenIdReader:
    """Turns documents into token ids. Threads may share it."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary | WordNumbers) -> None:
        """`vocabulary`: gives the ids; with `WordNumbers`, all tokens are known."""
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._text_kernel = _TextKernel(tokenizer, vocabulary) if words_tokenizer(tokenizer).rules else None

    def __call__(self, documents: Sequence[Document], max_tokens: int = NO_LIMIT, stop: Stop = bool) -> TokenIds:
        """Tokenize the texts and look up the first `max_tokens` tokens of each document.

        StoppedError once `stop` returns True.
        """
        kinds = set(map(type, documents))
        if self._text_kernel and (kinds == {str} or any(issubclass(kind, str) for kind in kinds)):
            texts: Any = documents
            token_ids = self._text_kernel(texts, max_tokens, stop) if len(kinds) == 1 else None
            if token_ids:
                return token_ids
            if len(documents) > 1:
                # Only the documents that need the tokenizer in Python take the slow path.
                parts = (self([document], max_tokens, stop) for document in _until_stopped(documents, stop))
                return TokenIds.concatenate(parts, max_tokens)
        tokens = [self._tokenizer(one) if isinstance(one, str) else one for one in _until_stopped(documents, stop)]
        counts = array("q", map(len, tokens))
        used = [some if len(some) <= max_tokens else some[:max_tokens] for some in tokens]
        return TokenIds(*self._vocabulary.ids_of(used), counts, max_tokens)


def _until_stopped(documents: Sequence[Document], stop: Stop) -> Iterator[Document]:
    for i, document in enumerate(documents):
        if i % _DOCUMENTS_PER_STOP == _DOCUMENTS_PER_STOP - 1:
            raise_if_stopped(stop)
        yield document


class _TextKernel:
    """Tokenizes and looks up texts in a kernel, ten times as fast as by tokens in Python.

    The kernel follows a table of what the tokenizer does with each character of Unicode. The table begins empty and
    learns the characters that occur.
    """

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary | WordNumbers) -> None:
        """`tokenizer`: one that cuts text by rules."""
        rules = words_tokenizer(tokenizer).rules
        if rules is None:
            raise TypeError("the tokenizer has no rules for characters")
        self._map_character = rules.map_character
        # The operating system provides memory only for the pages that are written.
        self._table = np.zeros(_CODE_POINTS, np.uint32)
        self._rules = Structure(
            "character_rules",
            table=self._table,
            min_len=rules.min_len,
            max_len=rules.max_len,
            not_first=ord(rules.not_first) if rules.not_first else -1,
        )
        self._forms: Forms | None = None
        if isinstance(vocabulary, Vocabulary) and not isinstance(tokenizer, TermTokenizer):
            self._words = vocabulary
        else:
            # The kernel cannot look words up that other threads are adding to, nor stems.
            self._forms = Forms(
                tokenizer if isinstance(tokenizer, TermTokenizer) else TermTokenizer(tokenizer), vocabulary
            )
            self._words = self._forms.known.words

    def __call__(self, texts: Sequence[str], max_tokens: int, stop: Stop) -> TokenIds | None:
        """None if a text has a character that the table cannot describe."""
        parts = list(map(utf8, texts))
        joined = b"".join(parts)
        # Stop words are no tokens, so all words are read.
        known = self._forms.known if self._forms else None
        words, limit, room = (known.words, NO_LIMIT, _UNKNOWN_ROOM) if known else (self._words, max_tokens, 0)
        while True:
            data, ends = array("B", joined), array("q", accumulate(map(len, parts), initial=0))
            counts = array("q", bytes(8 * len(texts)))
            # A token takes at least one byte, and another to separate it from the next.
            ids = array("I", bytes(4 * min((len(data) + len(texts)) // 2, limit * len(texts))))
            unknown = array("q", bytes(16 * min(room, len(ids))))
            outcome = kernel("texts_to_ids")(
                self._rules.address,
                words.structure.address,
                *data.buffer_info(),
                ends.buffer_info()[0],
                *counts.buffer_info(),
                *ids.buffer_info(),
                limit,
                unknown.buffer_info()[0] if known else 0,
                len(unknown),
                hold_gil=len(data) < HOLD_GIL_BYTES,
            )
            if outcome == _DONE:
                if known and self._forms:
                    more = self._forms.codes_of(data, unknown, stop)
                    known.to_ids(more, ids, ends, counts, max_tokens)
                del ids[ends[-1] :]
                return TokenIds(ids, ends, counts, max_tokens)
            if outcome == _MORE_UNKNOWN:
                room = len(ids)
            elif outcome == _NEW_CHARACTER:
                self._learn(texts, stop)
            else:
                return None

    def _learn(self, texts: Sequence[str], stop: Stop) -> None:
        """Fill the table for the characters of these texts. A whole block of Unicode would delay other callers."""
        for i, character in enumerate(set("".join(texts))):
            if i % _CHARACTERS_PER_STOP == _CHARACTERS_PER_STOP - 1:
                raise_if_stopped(stop)
            if self._table[ord(character)] == _UNKNOWN:
                self._table[ord(character)] = self._entry(character)

    def _entry(self, character: str) -> int:
        mapped = self._map_character(character)
        if mapped == "":
            return _SEPARATOR
        # The kernel writes tokens over the text, so a mapped character must not be longer.
        if mapped is None or len(utf8(mapped)) > len(utf8(character)):
            return _CONTEXTUAL
        return _FIRST_MAPPED + ord(mapped)
