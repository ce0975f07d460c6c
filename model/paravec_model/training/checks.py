"""Checks for common mistakes in training Doc2Vec: errors for what cannot be meant, warnings for what rarely is."""

import logging
from collections.abc import Container, Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any

from ..corpus.formats import Document, is_unicode
from ..errors import CorpusError

_logger = logging.getLogger(__name__)

GENSIM_MAX_TOKENS = 10_000
"""gensim's compiled loops read this many tokens of a document and drop the rest silently (MAX_DOCUMENT_LEN)."""

# Vectors learned from fewer words are noise.
_MIN_VOCABULARY_WORDS = 100

# Above these shares, tokenizer, min_count and corpus do not fit each other.
_MAX_SINGLE_CHARACTER_SHARE = 0.5
_MAX_DROPPED_TOKEN_SHARE = 0.5
_MAX_EMPTY_DOCUMENT_SHARE = 0.1


def checked(corpus: Iterable[Document], where: str) -> Iterator[Document]:
    """The documents of a corpus; CorpusError for the first that is not `(tags, text)`.

    `where`: name of the corpus in errors. Errors do not quote the text of documents, which may be confidential.
    """
    if isinstance(corpus, str | bytes):
        raise CorpusError(f"{where}: is a string, which would be read as characters; give (tags, text) pairs")
    count = 0
    for count, document in enumerate(corpus, 1):
        if problem := _problem(document):
            raise CorpusError(f"{where}: document {count}: {problem}")
        tags, text = document
        # numpy's strings and integers become Python's, which JSON can hold.
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
    if not all(map(is_unicode, tags)):
        return "one of its tags has a lone surrogate, which UTF-8 cannot carry"
    return None


def _is_tag(tag: Any) -> bool:
    return isinstance(tag, str | Integral) and not isinstance(tag, bool)


def check_vocabulary(where: str, distinct: int, known: int, min_count: int) -> None:
    """Raise CorpusError if fewer than two words survive min_count; warn below 100.

    `where`: name of the corpus in errors. `distinct`: distinct tokens of the corpus. `known`: those of them that occur
    `min_count` times or more.
    """
    if not distinct:
        raise CorpusError(f"{where}: the tokenizer finds no token in it; choose another tokenizer")
    # A single word leaves nothing to predict, and with hs gensim never returns.
    if known < 2:
        raise CorpusError(
            f"{where}: {known} of its {distinct} distinct tokens occur min_count={min_count} times or more,"
            " learning needs 2; lower min_count or take a larger corpus"
        )
    if known < _MIN_VOCABULARY_WORDS:
        _logger.warning(
            "only %d of %d distinct tokens occur min_count=%d times or more; so few say little about a document,"
            " lower min_count or take a larger corpus", known, distinct, min_count
        )  # fmt: skip


def warn_of_documents(count: int, without_new_tag: int, too_long: int) -> None:
    """Warn if documents share all their tags with others, or are longer than gensim reads.

    Of `count` documents, `without_new_tag` have only tags of earlier ones, `too_long` more than GENSIM_MAX_TOKENS.
    """
    if without_new_tag:
        _logger.warning(
            "%d of %d documents have only tags that earlier ones have; documents with equal tags are learned as one",
            without_new_tag, count
        )  # fmt: skip
    if too_long:
        _logger.warning(
            "%d documents have more than %d tokens, and gensim learns from the first %d only;"
            " split them, the pieces may share a tag", too_long, GENSIM_MAX_TOKENS, GENSIM_MAX_TOKENS
        )  # fmt: skip


def warn_of_tokens(sample: Sequence[Sequence[str]], vocabulary: Container[str], min_count: int) -> None:
    """Warn if a sample of tokenized documents shows that tokenizer, `min_count` and corpus do not fit each other."""
    known = [len([token for token in tokens if token in vocabulary]) for tokens in sample]
    total = sum(map(len, sample))
    single = sum(len([token for token in tokens if len(token) == 1]) for tokens in sample)
    if single > _MAX_SINGLE_CHARACTER_SHARE * total:
        _logger.warning(
            "%.0f %% of the tokens are single characters; choose a tokenizer that finds words", 100 * single / total
        )
    dropped = total - sum(known)
    if dropped > _MAX_DROPPED_TOKEN_SHARE * total:
        _logger.warning(
            "%.0f %% of the tokens are of words that occur less than min_count=%d times, and are left out;"
            " lower min_count or take a larger corpus", 100 * dropped / total, min_count
        )  # fmt: skip
    almost_empty = len([count for count in known if count < 2])
    if almost_empty > _MAX_EMPTY_DOCUMENT_SHARE * len(sample):
        _logger.warning(
            "%.0f %% of the documents have one token that is learned, or none, and so no useful vector",
            100 * almost_empty / len(sample)
        )  # fmt: skip
