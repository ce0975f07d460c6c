"""The known mistakes of training Doc2Vec: an error for what nobody can mean, a line of warning for what few do."""

import logging
from collections.abc import Container, Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any

from ..corpus.formats import Document
from ..errors import CorpusError

_logger = logging.getLogger(__name__)

LONGEST = 10_000
"""gensim's compiled loops keep this many words of a document and drop the rest without a word."""

# Below this many words, what was learned is noise.
_SMALL_VOCABULARY = 100

# Beyond these shares something is wrong with tokenizer, min_count or corpus.
_SINGLE_CHARACTERS, _LEFT_OUT, _ALL_BUT_EMPTY = 0.5, 0.5, 0.1


def checked(corpus: Iterable[Document], where: str) -> Iterator[Document]:
    """The documents of a corpus, which a program may have put together in other forms than `(tags, text)`.

    CorpusError says which document it is and what is wrong with it, but not what it says.
    """
    if isinstance(corpus, str | bytes):
        raise CorpusError(f"{where}: is a string, which would be read as characters; give (tags, text) pairs")
    count = 0
    for count, document in enumerate(corpus, 1):
        if problem := _problem(document):
            raise CorpusError(f"{where}: document {count}: {problem}")
        tags, text = document
        # numpy's text and integers are Python's with something more.
        yield [str(tag) if isinstance(tag, str) else int(tag) for tag in tags], str(text)
    if not count:
        raise CorpusError(f"{where}: holds no documents; a generator that was read before is empty, make a new one")


def _problem(document: Any) -> str | None:
    if isinstance(document, str) or not isinstance(document, Sequence) or len(document) != 2:
        return f"must be (tags, text), not {type(document).__name__}"
    tags, text = document
    if not isinstance(text, str):
        return f"its text must be a string, which the tokenizer cuts, not {type(text).__name__}"
    if not isinstance(tags, list | tuple) or not tags or not all(map(_is_tag, tags)):
        return "its tags must be a list of at least one string or integer; one string would be read as characters"
    return None


def _is_tag(tag: Any) -> bool:
    return isinstance(tag, str | Integral) and not isinstance(tag, bool)


def check_vocabulary(where: str, distinct: int, known: int, min_count: int) -> None:
    """CorpusError for a vocabulary that nothing can be learned of, a warning for one of which little can.

    `distinct` tokens were seen, `known` of them often enough.
    """
    if not distinct:
        raise CorpusError(f"{where}: the tokenizer finds no token in it; choose another tokenizer")
    # With a single word gensim has nothing to tell apart, and with hs it never returns.
    if known < 2:
        raise CorpusError(
            f"{where}: {known} of its {distinct} distinct tokens occur min_count={min_count} times or more,"
            " learning needs 2; lower min_count or take a larger corpus"
        )
    if known < _SMALL_VOCABULARY:
        _logger.warning(
            "only %d of %d distinct tokens occur min_count=%d times or more; so few say little about a document,"
            " lower min_count or take a larger corpus", known, distinct, min_count
        )  # fmt: skip


def warn_of_documents(count: int, untagged: int, long: int) -> None:
    """Warn of documents that will be learned otherwise than each on its own and whole.

    Of `count` documents, `untagged` have no tag that no earlier one has, `long` more tokens than gensim reads.
    """
    if untagged:
        _logger.warning(
            "%d of %d documents have only tags that earlier ones have; what shares its tags is learned as one document",
            untagged, count
        )  # fmt: skip
    if long:
        _logger.warning(
            "%d documents have more than %d tokens, and gensim learns from the first %d only;"
            " split them, the pieces may share a tag", long, LONGEST, LONGEST
        )  # fmt: skip


def warn_of_tokens(sample: Sequence[Sequence[str]], vocabulary: Container[str], min_count: int) -> None:
    """Warn of tokens that say little, by a sample of the tokenized documents."""
    known = [sum(token in vocabulary for token in tokens) for tokens in sample]
    tokens = sum(map(len, sample))
    single = sum(len(token) == 1 for tokens in sample for token in tokens)
    if single > _SINGLE_CHARACTERS * tokens:
        _logger.warning(
            "%.0f %% of the tokens are single characters; choose a tokenizer that finds words", 100 * single / tokens
        )
    left_out = tokens - sum(known)
    if left_out > _LEFT_OUT * tokens:
        _logger.warning(
            "%.0f %% of the tokens are of words that occur less than min_count=%d times, and are left out;"
            " lower min_count or take a larger corpus", 100 * left_out / tokens, min_count
        )  # fmt: skip
    empty = sum(count < 2 for count in known)
    if empty > _ALL_BUT_EMPTY * len(sample):
        _logger.warning(
            "%.0f %% of the documents have one token that is learned, or none; from so few nothing can be told",
            100 * empty / len(sample)
        )  # fmt: skip
