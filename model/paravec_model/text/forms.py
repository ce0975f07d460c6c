"""The forms of words that texts hold, and the tokens that they stand for: each form is stemmed once, not each time."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from threading import Lock

import numpy as np
import numpy.typing as npt

from ..kernels.interface import CONSTANTS, address, kernel
from ..options import Stop, raise_if_stopped
from .tokenizer import TermTokenizer
from .vocabulary import HOLD_GIL_BYTES, Vocabulary, WordNumbers, hash_table, vocabulary_arrays

_STOP_WORD, _NOT_IN_VOCABULARY, _FIRST_ID = (CONSTANTS[name] for name in ("STOP_WORD", "NOT_IN_VOCABULARY", "FIRST_ID"))

_MOST_FORMS = 2**17
"""Forms in memory, in some 6 MB. Beyond them, learning begins again."""
_LEAST_MISSED = 1024
_LONGEST_FORM = 64
"""Bytes of the longest form that is kept."""
_FORMS_PER_STOP = 4096


@dataclass(frozen=True)
class KnownForms:
    """Forms and their codes, as enum form of kernels.h says. It never changes, so that threads may share it."""

    words: Vocabulary
    """The forms."""
    codes: npt.NDArray[np.uint32]
    """The code of each."""

    @classmethod
    def none(cls) -> "KnownForms":
        """No forms."""
        return cls(Vocabulary(*vocabulary_arrays([]).values()), np.zeros(0, np.uint32))

    def extended(self, more: dict[bytes, int]) -> "KnownForms":
        """These forms, and more."""
        text = np.concatenate([self.words.text, np.frombuffer(b"".join(more), np.uint8)])
        ends = np.fromiter(accumulate(map(len, more), initial=len(self.words.text)), np.int64)
        offsets = np.concatenate([self.words.offsets[:-1], ends])
        codes = np.concatenate([self.codes, np.fromiter(more.values(), np.uint32)])
        return KnownForms(Vocabulary(text, offsets, hash_table(text, offsets)), codes)

    def to_ids(
        self, more: "array[int]", ids: "array[int]", ends: "array[int]", counts: "array[int]", max_tokens: int
    ) -> None:
        """Replace forms by token ids, in arrays as `TokenIds` has; `more`: codes of forms after those of `words`."""
        kernel("forms_to_ids")(
            address(self.codes),
            len(self.codes),
            *more.buffer_info(),
            *ids.buffer_info(),
            ends.buffer_info()[0],
            *counts.buffer_info(),
            max_tokens,
            hold_gil=4 * len(ids) < HOLD_GIL_BYTES,
        )


class Forms:
    """Learns which token each form of a word stands for. Threads may share it.

    Kernels look forms up in `known`. What is met for the first time is stemmed, and collected in a dict until a
    larger `known` is worth its making. That is a new one, because other threads may be reading the old.
    """

    def __init__(self, tokenizer: TermTokenizer, vocabulary: Vocabulary | WordNumbers) -> None:
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self.known = KnownForms.none()
        """The forms for kernels. A call takes it once."""
        self._learned: dict[bytes, int] = {}
        self._missed = 0
        self._lock = Lock()

    def codes_of(self, text: "array[int]", places: "array[int]", stop: Stop) -> "array[int]":
        """The codes of forms that `known` lacked; `places`: where each begins and ends in `text`, zeros after the last.

        StoppedError once `stop` returns True.
        """
        raw, learned = memoryview(text), self._learned
        forms = [bytes(raw[begin:end]) for begin, end in zip(places[::2], places[1::2], strict=True) if end]
        new = list({form for form in forms if form not in learned})
        codes: dict[bytes, int] = {}
        for first in range(0, len(new), _FORMS_PER_STOP):
            raise_if_stopped(stop)
            some = new[first : first + _FORMS_PER_STOP]
            codes.update(zip(some, self._make(some), strict=True))
        if forms:
            self._learn(codes, len(forms))
        return array("I", [codes[form] if form in codes else learned[form] for form in forms])

    def _make(self, forms: list[bytes]) -> Iterator[int]:
        """The code of each form, by the tokenizer and the vocabulary."""
        terms = [self._tokenizer.term(form.decode("utf-8", "surrogatepass")) for form in forms]
        ids, ends = self._vocabulary.ids_of([[] if term is None else [term] for term in terms])
        for term, (first, end) in zip(terms, pairwise(ends), strict=True):
            yield _STOP_WORD if term is None else _NOT_IN_VOCABULARY if first == end else ids[first] + _FIRST_ID

    def _learn(self, codes: dict[bytes, int], missed: int) -> None:
        """Keep the codes of forms. `missed`: how many words of texts `known` lacked."""
        with self._lock:
            learned, known = self._learned, self.known
            learned.update((form, code) for form, code in codes.items() if len(form) <= _LONGEST_FORM)
            self._missed += missed
            # A larger table pays once so many look-ups have missed.
            if not learned or self._missed < max(_LEAST_MISSED, len(known.codes) // 4):
                return
            if len(known.codes) + len(learned) > _MOST_FORMS:
                known = KnownForms.none()
            self.known = known.extended(dict(islice(learned.items(), _MOST_FORMS)))
            # Not cleared: other threads may be reading it.
            self._learned, self._missed = {}, 0
