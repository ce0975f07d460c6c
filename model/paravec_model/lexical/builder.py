"""Collects the words of documents, and makes a lexical index of them."""

from array import array
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..text.token_ids import TokenIds
from ..text.vocabulary import WordNumbers
from .lists import Documents, WordTerms, lengths, term_lists
from .postings import Postings, TermLists


class LexicalBuilder:
    """Collects documents' tokens, and makes an index of them. Memory: 4 bytes a token, 12 a document."""

    def __init__(self, documents: int = 0) -> None:
        """`documents`: how many there are at least; those that get no tokens have no terms."""
        self.words = WordNumbers()
        """The words of all documents."""
        self._size = documents
        # Runs of tokens, in the order in which they were added: which document each belongs to, and where it ends.
        self._ids, self._owners, self._ends = array("I"), array("I"), array("q", (0,))

    def add(self, document: int, tokens: Sequence[str]) -> None:
        """Add tokens to a document. It may be named several times: the tokens are put one after the other."""
        ids, _ = self.words.ids_of([tokens])
        self._ids.extend(ids)
        self._owners.append(document)
        self._ends.append(len(self._ids))
        self._size = max(self._size, document + 1)

    def append(self, texts: TokenIds, fields: int) -> None:
        """Add documents behind the others, of `fields` texts each, as numbers of `words`."""
        begin, documents = len(self._ids), len(texts.token_counts) // fields
        self._ids.extend(texts.ids)
        self._owners.extend(range(self._size, self._size + documents))
        self._ends.extend(begin + end for end in texts.ends[fields::fields])
        self._size += documents

    def select(self, documents: Sequence[int]) -> None:
        """Keep these documents only, numbered anew in this order."""
        numbers = np.full(self._size, -1, np.int64)
        numbers[documents] = np.arange(len(documents))
        owners, sizes = numbers[np.frombuffer(self._owners, np.uint32)], np.diff(self._ends)
        ids = np.frombuffer(self._ids, np.uint32)[np.repeat(owners >= 0, sizes)]
        ends = np.concatenate([[0], np.cumsum(sizes[owners >= 0])]).astype(np.int64)
        self._ids, self._ends = array("I", ids.tobytes()), array("q", ends.tobytes())
        self._owners = array("I", owners[owners >= 0].astype(np.uint32).tobytes())
        self._size = len(documents)

    def lists(self) -> tuple[Iterator[TermLists], npt.NDArray[np.uint32]]:
        """The terms of all documents, ascending, in runs that fit in memory; and how many terms each document has."""
        documents, terms = self._documents(), WordTerms(list(self.words))
        return term_lists(documents, terms), lengths(documents, terms)

    def postings(self) -> Postings:
        """The terms of all documents, in memory."""
        return Postings.of_lists(*self.lists())

    def _documents(self) -> Documents:
        ids, owners = np.frombuffer(self._ids, np.uint32), np.frombuffer(self._owners, np.uint32)
        ends = np.frombuffer(self._ends, np.int64)
        if bool((owners[1:] < owners[:-1]).any()):
            order = np.argsort(owners, kind="stable")
            starts, sizes = ends[:-1][order], np.diff(ends)[order]
            owners, ends = owners[order], np.concatenate([[0], np.cumsum(sizes)])
            ids = ids[np.repeat(starts - ends[:-1], sizes) + np.arange(len(ids))]
        return Documents(ids, ends[np.searchsorted(owners, np.arange(self._size + 1))].astype(np.int64))
