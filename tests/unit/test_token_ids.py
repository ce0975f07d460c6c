"""Documents read at once, against the tokenizers and a dict, which say what is to come out."""

from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravec_model.errors import StoppedError
from paravec_model.text.token_ids import NO_LIMIT, Document, TokenIdReader, TokenIds
from paravec_model.text.tokenizer import RegexTokenizer, SimpleTokenizer, Tokenizer, WhitespaceTokenizer
from paravec_model.text.vocabulary import Vocabulary, WordNumbers, vocabulary_arrays

# Any code point, lone surrogates too. Some change with what stands beside them, some become longer or shorter, some
# compose, some are the first and last of so many bytes.
ODD = "ΣσςİıßẞKÅȺⱥ\u0301\u0345ㄱ가각\u1100\u1161\u11a8\ud800\udfff\x7f\x80\u07ff\u0800\uffff\U00010000\U0010ffff😀"
TEXT = st.text(st.one_of(st.characters(exclude_categories=()), st.sampled_from("aàÀbÉ_1²٣ -\0\n" + ODD)), max_size=30)
PLAIN = st.text(st.sampled_from("abàÉĆя中 ’_1"), max_size=30)

TOKENIZERS = st.one_of(
    st.builds(
        lambda lowercase, deaccent, low, more: SimpleTokenizer(lowercase, deaccent, low, low + more),
        st.booleans(),
        st.booleans(),
        st.integers(0, 3),
        st.integers(0, 12),
    ),
    st.builds(WhitespaceTokenizer, st.booleans()),
    st.just(RegexTokenizer(r"\w+|-")),
)


def reader_of(tokenizer: Tokenizer, words: list[str]) -> TokenIdReader:
    """Reads with this tokenizer and these words."""
    return TokenIdReader(tokenizer, Vocabulary(*vocabulary_arrays(words).values()))


@given(
    st.data(),
    TOKENIZERS,
    st.lists(st.one_of(PLAIN, TEXT), min_size=1, max_size=5),
    st.sampled_from([1, 2, 5, NO_LIMIT]),
)
def test_token_ids_match_the_tokenizer(data: st.DataObject, tokenizer: Tokenizer, texts: list[str], most: int) -> None:
    """For any texts and token lists, the known tokens' rows and the token counts are the tokenizer's."""
    tokens = [tokenizer(text) for text in texts]
    words = data.draw(st.lists(st.sampled_from(sorted({"a", *chain(*tokens)})), min_size=1, unique=True))
    reader, listed = reader_of(tokenizer, words), data.draw(st.lists(st.sampled_from([*words, "?"]), max_size=9))
    documents: list[tuple[list[Document], list[list[str]]]] = [
        ([*texts], tokens),
        ([*texts, listed], [*tokens, listed]),
    ]
    for given_, cut in documents:
        read = reader(given_, most)
        known = [[words.index(token) for token in some[:most] if token in words] for some in cut]
        assert read.ids.tolist() == list(chain(*known))
        assert read.ends.tolist() == [0, *accumulate(map(len, known))]
        assert read.token_counts.tolist() == [len(some) for some in cut]
        assert read.used == sum(min(len(some), most) for some in cut)
        assert TokenIds.concatenate([reader([one], most) for one in given_], most) == read


@given(TOKENIZERS, st.lists(st.one_of(PLAIN, TEXT), min_size=1, max_size=5))
def test_numbers_of_words_say_all_tokens(tokenizer: Tokenizer, texts: list[str]) -> None:
    """Read at first and later, numbers stand for the tokenizer's tokens, of which none is unknown."""
    numbers = WordNumbers()
    reader = TokenIdReader(tokenizer, numbers)
    expected = [tokenizer(text) for text in texts]
    for _ in range(2):
        read = reader(texts)
        words = list(numbers)
        assert [words[i] for i in read.ids] == list(chain(*expected))
        assert read.known_counts == read.token_counts.tolist() == [len(some) for some in expected]
    assert len(words) == len(numbers) == len(set(chain(*expected)))


@pytest.mark.parametrize("deaccent", [False, True])
@pytest.mark.parametrize("lowercase", [False, True])
def test_every_character_is_read_as_the_tokenizer_reads_it(deaccent: bool, lowercase: bool) -> None:
    """Alone and between letters, all of Unicode."""
    tokenizer = SimpleTokenizer(lowercase, deaccent, 1)
    texts = [f"{chr(code)} a{chr(code)}b" for code in range(0x110000) if code % 16 == 3 or code < 0x3000]
    tokens = [tokenizer(text) for text in texts]
    words = sorted({token for some in tokens for token in some})
    rows = {word: row for row, word in enumerate(words)}
    reader = reader_of(tokenizer, words)
    for text, some in zip(texts, tokens, strict=True):
        assert reader([text]).ids.tolist() == [rows[token] for token in some]


def test_plain_text_takes_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain text of any script is read by the kernel; only characters that depend on their neighbours are not."""
    reader = reader_of(SimpleTokenizer(), ["fuoco"])
    monkeypatch.setattr(SimpleTokenizer, "__call__", lambda *_: pytest.fail("was cut"))
    for text in ("Fuoco, fuoco", "l’“ÈŒ” – 😀", "Διάταξη πεδίου", "огонь", "火事 불 आग"):
        assert reader([text] * 3).token_counts.tolist()
    with pytest.raises(pytest.fail.Exception):
        reader(["ΦΩΣ"])


def test_one_text_for_the_tokenizer_leaves_others_to_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that needs the Python tokenizer, or a token list, does not take its neighbours off the kernel."""
    reader, real = reader_of(WhitespaceTokenizer(lowercase=True), ["a", "i̇"]), WhitespaceTokenizer.__call__
    cut: list[str] = []

    def watched(tokenizer: WhitespaceTokenizer, text: str) -> list[str]:
        cut.append(text)
        return real(tokenizer, text)

    monkeypatch.setattr(WhitespaceTokenizer, "__call__", watched)
    read = reader(["a a", "İ a", ["a"], "a"])
    assert cut == ["İ a"]
    assert (read.ids.tolist(), read.ends.tolist()) == ([0, 0, 1, 0, 0, 0], [0, 2, 4, 5, 6])


def test_threads_may_share_it() -> None:
    """Also while it meets characters for the first time."""
    texts = ["".join(chr(code) + " a" for code in range(page, page + 256)) for page in range(0x3000, 0xA000, 0x100)]
    tokenizer = SimpleTokenizer(min_len=1)
    words = sorted({token for text in texts for token in tokenizer(text)})
    right = [reader_of(tokenizer, words)([text]) for text in texts]
    for _ in range(3):
        reader = reader_of(tokenizer, words)
        with ThreadPoolExecutor(8) as pool:
            read = list(pool.map(reader, ([text] for text in texts * 4)))
        assert read == right * 4


def test_reading_stops_when_stop_returns_true() -> None:
    """Reading with a regex tokenizer ends when `stop` returns True."""
    with pytest.raises(StoppedError):
        reader_of(RegexTokenizer("a"), ["a"])(["a"] * 1000, stop=lambda: True)


def test_no_documents_and_empty_texts_are_read() -> None:
    """An empty list and empty texts are not an error."""
    reader = reader_of(SimpleTokenizer(), ["a"])
    assert reader([]).ends.tolist() == [0]
    assert reader(["", [], "\0"]).ends.tolist() == [0, 0, 0, 0]
    assert reader(["", "\0"]).token_counts.tolist() == [0, 0]
