"""Tokenizers with a stemmer and stop words: what is read fast is what PyStemmer says of each word."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from paravec_model.errors import OptionError, StoppedError
from paravec_model.text import forms
from paravec_model.text.stemmer import check_stemmer, stems_of
from paravec_model.text.terms import with_terms
from paravec_model.text.token_ids import NO_LIMIT, TokenIdReader, TokenIds
from paravec_model.text.tokenizer import (
    RegexTokenizer,
    SimpleTokenizer,
    TermTokenizer,
    WhitespaceTokenizer,
    WordTokenizer,
    tokenizer_from_dict,
    tokenizer_to_dict,
)
from paravec_model.text.vocabulary import Vocabulary, WordNumbers, vocabulary_arrays

VERSION = version("PyStemmer")
WORDS = st.sampled_from(["città", "andando", "Andato", "l'abbandono", "Häuser", "running", "ΛΌΓΟΣ", "красивая", "di"])
ODD = st.text(st.one_of(st.characters(exclude_categories=()), st.sampled_from("aeàİς '_\ud800")), max_size=9)
TEXT = st.lists(st.one_of(WORDS, ODD), max_size=12).map(" ".join)
WORD_TOKENIZERS: st.SearchStrategy[WordTokenizer] = st.one_of(
    st.builds(SimpleTokenizer, st.booleans(), st.booleans(), st.integers(0, 2)),
    st.builds(WhitespaceTokenizer, st.booleans()),
    st.just(RegexTokenizer(r"\w+")),
)


def reader_of(tokenizer: TermTokenizer, words: list[str]) -> TokenIdReader:
    """Reads with this tokenizer and these words."""
    return TokenIdReader(tokenizer, Vocabulary(*vocabulary_arrays(words).values()))


def plain(tokenizer: TermTokenizer, text: str) -> list[str]:
    """The tokens of a text, by nothing but PyStemmer."""
    stemmer: Any = Stemmer.Stemmer(tokenizer.stemmer, 0) if tokenizer.stemmer else None
    words = [word for word in tokenizer.words(text) if word not in tokenizer.stop_words]
    if not stemmer:
        return words
    return [word if any("\ud800" <= c <= "\udfff" for c in word) else stemmer.stemWord(word) for word in words]


def italian(*stop_words: str) -> TermTokenizer:
    """The simple tokenizer with Italian stems."""
    return TermTokenizer(SimpleTokenizer(), "italian", VERSION, tuple(sorted(stop_words)))


@given(
    st.data(),
    WORD_TOKENIZERS,
    st.sampled_from(["", "italian", "english", "german", "greek", "russian", "turkish"]),
    st.lists(TEXT, min_size=1, max_size=5),
    st.sampled_from([1, 2, 5, NO_LIMIT]),
    st.booleans(),
)
def test_token_ids_match_the_stemmer(
    data: st.DataObject, words: WordTokenizer, language: str, texts: list[str], most: int, keeps_little: bool
) -> None:
    """For any texts, at first and later, the rows and token counts are those of the stems of words that do not stop."""
    found = sorted({"a", *chain(*(words(text) for text in texts))})
    usable = [word for word in found if len(word) <= 100 and not any("\ud800" <= c <= "\udfff" for c in word)]
    stop_words = tuple(sorted(data.draw(st.sets(st.sampled_from(usable), max_size=3))))
    tokenizer = TermTokenizer(words, language, VERSION if language else "", stop_words)
    right = [plain(tokenizer, text) for text in texts]
    vocabulary = data.draw(st.lists(st.sampled_from(sorted({"a", *chain(*right)})), min_size=1, unique=True))
    known = [[vocabulary.index(token) for token in some[:most] if token in vocabulary] for some in right]
    reader = reader_of(tokenizer, vocabulary)
    with pytest.MonkeyPatch.context() as patch:
        if keeps_little:
            patch.setattr(forms, "_LEAST_MISSED", 2)
            patch.setattr(forms, "_MOST_FORMS", 5)
        for part in ([texts], [[text] for text in texts], [texts]):
            read = TokenIds.concatenate([reader(some, most) for some in part], most)
            assert read.ids.tolist() == list(chain(*known))
            assert read.ends.tolist() == [0, *accumulate(map(len, known))]
            assert read.token_counts.tolist() == [len(some) for some in right]
    assert [tokenizer(text) for text in texts] == right
    numbers = WordNumbers()
    for_all = TokenIdReader(tokenizer, numbers)(texts)
    assert [list(numbers)[i] for i in for_all.ids] == list(chain(*right))


def test_each_form_is_stemmed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it occurs, in whatever calls."""
    made: list[str] = []
    real = TermTokenizer.term

    def watched(tokenizer: TermTokenizer, word: str) -> str | None:
        made.append(word)
        return real(tokenizer, word)

    monkeypatch.setattr(TermTokenizer, "term", watched)
    monkeypatch.setattr(TermTokenizer, "__call__", lambda *_: pytest.fail("was cut in Python"))
    reader = reader_of(italian("di"), ["cas"])
    texts = [" ".join(f"casa{'a' * (n // 26)}{chr(97 + n % 26)} casa di" for n in range(200))]
    for _ in range(3):
        assert reader(texts * 2).known_counts[0] >= 200
    assert len(made) == len(set(made)) == 202


def test_memory_of_forms_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms without end do not grow the table, and long ones are not kept."""
    monkeypatch.setattr(forms, "_MOST_FORMS", 3000)
    reader = reader_of(TermTokenizer(WhitespaceTokenizer(), "italian", VERSION), ["a"])
    learner: Any = reader._text_kernel
    for part in range(0, 20_000, 500):
        reader([" ".join([*map(str, range(part, part + 500)), f"{part}x" * 100])])
        assert len(learner._forms.known.codes) <= 3000
        assert len(learner._forms._learned) <= 2000
        assert max(map(len, learner._forms._learned), default=0) <= 64


def test_threads_may_share_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """While they meet forms for the first time, in tables that are made again all the time."""
    monkeypatch.setattr(forms, "_LEAST_MISSED", 16)
    monkeypatch.setattr(forms, "_MOST_FORMS", 400)
    texts = [" ".join(f"parl{a}{b}ando" for b in "abcdefghijklmnopqrst") for a in "abcdefghijklmnopqrstuvwxyz"]
    tokenizer = italian("parlabando")
    words = sorted({token for text in texts for token in plain(tokenizer, text)})[::2]
    right = [reader_of(tokenizer, words)([text]) for text in texts]
    for _ in range(3):
        reader = reader_of(tokenizer, words)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(reader, ([text] for text in texts * 8))) == right * 8


def test_stems_are_the_same_in_threads() -> None:
    """PyStemmer's stemmers are not safe to share, so each thread has its own."""
    words = [f"parl{n}mente" if n % 2 else f"cas{chr(97 + n % 26)}zione" for n in range(2000)]
    right = Stemmer.Stemmer("italian").stemWords(words)
    with ThreadPoolExecutor(8) as pool:
        for made in pool.map(lambda _: [stems_of("italian").make(word) for word in words], range(16)):
            assert made == right


def test_reading_new_forms_stops_when_stop_returns_true() -> None:
    """A long text of new words is given up in between."""
    text = " ".join(map(str, range(20_000)))
    asked = iter([False, False, True])
    reader = reader_of(TermTokenizer(WhitespaceTokenizer(), "italian", VERSION), ["a"])
    reader(["0 1 2 3 4 5 6 7 8 9"])
    with pytest.raises(StoppedError):
        reader([text], stop=lambda: next(asked, True))


def test_a_declaration_gives_the_same_tokenizer() -> None:
    """The manifest holds the language, the version and the stop words; without them it says nothing of them."""
    for tokenizer in (italian("di", "che"), TermTokenizer(RegexTokenizer("a"), stop_words=("a",))):
        declared = json.loads(json.dumps(tokenizer_to_dict(tokenizer)))
        assert tokenizer_from_dict(declared) == tokenizer
        assert hash(tokenizer_from_dict(declared)) == hash(tokenizer)
    assert tokenizer_to_dict(italian("di"))["stop_words"] == ["di"]
    plain_words = tokenizer_to_dict(SimpleTokenizer())
    assert plain_words == {"kind": "simple", "lowercase": True, "deaccent": False, "min_len": 2, "max_len": 15}


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        ({"stemmer": "italian"}, "stemmer: and stemmer_version go together"),
        ({"stemmer_version": "3.1.0"}, "stemmer: and stemmer_version go together"),
        ({"stemmer": "Italian\n", "stemmer_version": "3.1.0"}, "stemmer: must be a language of Snowball"),
        ({"stemmer": "italian", "stemmer_version": "3.1.0 --pre"}, "stemmer: must be a language"),
        ({"stemmer": 3, "stemmer_version": "3.1.0"}, "tokenizer: stemmer is empty or has the wrong type"),
        ({"stemmer": ""}, "tokenizer: stemmer is empty or has the wrong type"),
        ({"stop_words": []}, "tokenizer: stop_words is empty or has the wrong type"),
        ({"stop_words": "di"}, "tokenizer: stop_words is empty or has the wrong type"),
        ({"stop_words": ["di", 3]}, "tokenizer: stop_words is empty or has the wrong type"),
        ({"stop_words": ["di", "che"]}, "stop_words: must be sorted and distinct"),
        ({"stop_words": ["\ud800"]}, "stop_words: must be at most 10,000 words of Unicode"),
        ({"stop_words": ["x" * 101]}, "stop_words: must be at most 10,000 words of Unicode"),
    ],
)
def test_a_wrong_declaration_is_refused(terms: dict[str, Any], problem: str) -> None:
    """In one line that names the field."""
    with pytest.raises(OptionError) as caught:
        tokenizer_from_dict({"kind": "simple", **terms})
    assert str(caught.value).startswith(problem)


def test_stems_of_another_version_are_refused() -> None:
    """The line says which version is needed, which there is, and what to do."""
    with pytest.raises(OptionError, match=r"^stemmer: needs PyStemmer 2\.0\.0, .* is installed: pip install pystemmer"):
        check_stemmer("italian", "2.0.0")
    with pytest.raises(OptionError, match=r"^stemmer: 'klingon' is not known; PyStemmer has .*arabic, "):
        check_stemmer("klingon", VERSION)


def test_stop_words_are_cut_as_texts_are(tmp_path: Path) -> None:
    """A file may hold several words a line, comments, capitals and accents."""
    file = tmp_path / "stop.txt"
    file.write_text("# articles\nIl LO\nperché\n\nall'\n", "utf-8")
    tokenizer = with_terms(SimpleTokenizer(deaccent=True), None, file)
    assert isinstance(tokenizer, TermTokenizer)
    assert tokenizer.stop_words == ("all", "il", "lo", "perche")
    assert tokenizer("Il perché all'alba") == ["alba"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "No such file"), (b"# none\n", "the tokenizer finds no word in it"), (b"\xff", "is not UTF-8")],
)
def test_stop_words_that_cannot_be_read_are_one_line(tmp_path: Path, content: bytes | None, problem: str) -> None:
    """It names the file."""
    file = tmp_path / "stop.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OptionError, match=f"^stop_words: .*stop.txt: .*{problem}"):
        with_terms(SimpleTokenizer(), None, file)


def test_models_without_a_stemmer_do_not_import_it() -> None:
    """Nor does reading the manifest of one with a stemmer."""
    code = (
        "import sys; from paravec_model.text.token_ids import *; from paravec_model.text.tokenizer import *;"
        f"tokenizer_from_dict({tokenizer_to_dict(italian())!r}); assert 'Stemmer' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
