"""The mapped vocabulary: equal to a dict for whatever is asked, and harmless whatever its arrays hold."""

from itertools import chain

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paravec_model.text.token_ids import TokenIdReader
from paravec_model.text.tokenizer import WhitespaceTokenizer
from paravec_model.text.vocabulary import Vocabulary, slot_count, vocabulary_arrays

TOKENS = st.text(st.characters(exclude_categories=()), max_size=6) | st.text("aé\0\n€\ud800😀", max_size=3)


def vocabulary_of(words: list[str]) -> Vocabulary:
    """The vocabulary of these words."""
    return Vocabulary(*vocabulary_arrays(words).values())


@given(st.data(), st.lists(TOKENS, min_size=1, max_size=40, unique=True))
def test_lookup_equals_a_dict(data: st.DataObject, words: list[str]) -> None:
    """Lookup equals a dict's for any strings: empty, with NUL, half of a surrogate pair."""
    vocabulary, index = vocabulary_of(words), {word: row for row, word in enumerate(words)}
    documents = data.draw(st.lists(st.lists(st.sampled_from(words) | TOKENS, max_size=8), max_size=5))
    known = [[index[token] for token in tokens if token in index] for tokens in documents]
    rows, ends = vocabulary.ids_of(documents)
    assert rows.tolist() == list(chain.from_iterable(known))
    assert ends.tolist() == [0, *np.cumsum([len(found) for found in known])]
    assert [vocabulary.id_of(word) for word in words] == list(range(len(words)))
    assert list(vocabulary) == words
    assert vocabulary.is_consistent()


def test_tokens_are_told_apart_by_their_ends() -> None:
    """Tokens with the same joined text and other ends are distinct."""
    vocabulary = vocabulary_of(["ab", "a", "b", "", "c" * 70_000])
    assert vocabulary.ids_of([["a", "b"], ["ab"], ["", "abc"], ["c" * 70_000, "c" * 69_999]])[0].tolist() == [
        1,
        2,
        0,
        3,
        4,
    ]


def test_every_word_of_a_large_vocabulary_is_found() -> None:
    """Words whose hashes collide are all found."""
    vocabulary = vocabulary_of([f"w{n}" for n in range(20_000)])
    assert vocabulary.is_consistent()
    assert not vocabulary.ids_of([[f"x{n}" for n in range(20_000)]])[0]


@settings(max_examples=60)
@given(st.data())
def test_lookup_is_safe_with_any_arrays(data: st.DataObject) -> None:
    """Whatever the arrays hold, a lookup ends and returns rows within the vocabulary. `make sanitize` checks reads out
    of bounds."""
    words = data.draw(st.lists(st.text("ab", max_size=2), min_size=1, max_size=4, unique=True))
    made = vocabulary_arrays(words)
    text, offsets, slots = made["vocabulary_text"], made["vocabulary_offsets"].copy(), made["vocabulary_slots"].copy()
    wild = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 12)
    for n in data.draw(st.lists(st.integers(0, len(offsets) - 1))):
        offsets[n] = data.draw(wild)
    # The hash stays, so that rows are followed; the row becomes any.
    upper = slots & np.uint64(0xFFFFFFFF00000000)
    full = data.draw(arrays(np.uint64, slots.shape, elements=st.integers(0, 9) | st.integers(0, 2**32 - 1)))
    slots = data.draw(st.sampled_from([upper, np.full_like(slots, upper.max())])) | full
    tokens = data.draw(st.lists(st.sampled_from(words) | st.text("ab", max_size=3), max_size=5))
    forged = Vocabulary(text, offsets, slots)
    found, _ = forged.ids_of([tokens])
    read = TokenIdReader(WhitespaceTokenizer(), forged)([" ".join(tokens)])
    assert read.token_counts[0] == sum(map(bool, tokens))
    for rows in (found, read.ids):
        assert len(rows) <= len(tokens)
        assert all(row < len(words) for row in rows)


def test_the_hash_table_has_free_slots() -> None:
    """A lookup of an unknown word meets an empty slot after few steps."""
    for size in (1, 2, 3, 4, 7, 8, 1023, 1024):
        slots = slot_count(size)
        assert 2 * size <= slots <= 4 * size
        assert slots & (slots - 1) == 0
