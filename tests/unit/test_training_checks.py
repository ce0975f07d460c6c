"""Known mistakes of training are one warning or error each, and a sound corpus has none."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from paravec_model.corpus.formats import Document
from paravec_model.errors import CorpusError
from paravec_model.training.checks import check_vocabulary, checked, warn_of_documents, warn_of_tokens

WORDS = [f"word{number}" for number in range(50)]


@pytest.mark.parametrize(
    ("corpus", "says"),
    [
        ("uno due", "is a string, which would be read as characters"),
        (["uno due"], "document 1: must be (tags, text), not str"),
        ([(["a"], "uno"), (["b"], ["due", "tre"])], "document 2: its text must be a string, which the tokenizer cuts"),
        ([("abc", "uno due")], "document 1: its tags must be a list"),
        ([(7, "uno due")], "document 1: its tags must be a list"),
        ([([], "uno due")], "document 1: its tags must be a list of at least one"),
        ([([None], "uno due")], "document 1: its tags must be a list of at least one string or integer"),
        ([(["a\ud800"], "uno")], "document 1: one of its tags has a lone surrogate"),
        ([{"text": "uno"}], "document 1: must be (tags, text), not dict"),
        ([], "holds no documents; a generator that was read before is empty"),
    ],
)
def test_an_invalid_document_is_named(corpus: Iterable[Any], says: str) -> None:
    """The error has the document's number and what is wrong with it, and nothing of its text."""
    with pytest.raises(CorpusError) as error:
        list(checked(corpus, "the corpus"))
    assert str(error.value).startswith(f"the corpus: {says}")
    assert not any(word in str(error.value) for word in ("uno", "due", "tre"))


def test_numpy_strings_and_integers_are_tags() -> None:
    """They become Python's str and int; a bool is not a tag."""
    documents: list[Any] = [([np.str_("a"), np.int64(3)], np.str_("uno due"))]
    ((tags, text),) = checked(documents, "it")
    assert (tags, text) == (["a", 3], "uno due")
    assert [type(tag) for tag in tags] == [str, int]
    assert type(text) is str
    with pytest.raises(CorpusError, match="its tags must be"):
        list(checked([([True], "uno")], "it"))


def test_a_generator_is_a_corpus_once() -> None:
    """It is read as it comes; read again it is empty, and the error says why."""
    documents: Iterator[Document] = (([number], "uno due") for number in range(3))
    assert list(checked(documents, "it")) == [([number], "uno due") for number in range(3)]
    with pytest.raises(CorpusError, match="make a new one"):
        list(checked(documents, "it"))


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        ([WORDS] * 10, None),
        ([WORDS, ["word1"]] * 3 + [WORDS] * 30, None),
        ([list("uno due tre")] * 10, "100 % of the tokens are single characters"),
        ([WORDS + ["rare"] * 80] * 10, "62 % of the tokens are of words that occur less than min_count=5 times"),
        ([WORDS, ["word1"], []] * 10, "67 % of the documents have one token that is learned, or none"),
    ],
)
def test_poor_tokenization_is_a_warning(
    sample: Sequence[Sequence[str]], says: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Each kind of poor tokenization is one warning, and a sound corpus has none."""
    with caplog.at_level(logging.WARNING):
        warn_of_tokens(sample, {*WORDS, *"unodetr "}, 5)
    assert [message.startswith(says) for message in caplog.messages if says] == ([True] if says else [])
    assert len(caplog.messages) == (says is not None)


def test_documents_without_their_own_tag_or_too_long_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Documents without a tag of their own and documents too long are counted, and nothing is printed where there are
    none."""
    warn_of_documents(10, without_new_tag=0, too_long=0)
    assert not caplog.messages
    warn_of_documents(10, without_new_tag=4, too_long=0)
    assert caplog.messages == [
        "4 of 10 documents have only tags that earlier ones have; documents with equal tags are learned as one"
    ]


def test_a_small_vocabulary_is_a_warning_or_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """Fewer than 100 words is a warning, fewer than two an error, and 100 are neither."""
    check_vocabulary("it", 1000, 100, 5)
    assert not caplog.messages
    check_vocabulary("it", 1000, 99, 5)
    assert len(caplog.messages) == 1
    with pytest.raises(CorpusError, match="1 of its 1000 distinct tokens"):
        check_vocabulary("it", 1000, 1, 5)
