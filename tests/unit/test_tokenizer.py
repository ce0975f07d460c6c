"""Tokenizers."""

import unicodedata

import pytest
from gensim.utils import simple_preprocess
from hypothesis import given
from hypothesis import strategies as st

from paravec_model.errors import OptionError
from paravec_model.text.tokenizer import (
    RegexTokenizer,
    SimpleTokenizer,
    Tokenizer,
    WhitespaceTokenizer,
    tokenizer_from_dict,
    tokenizer_to_dict,
)

# Any code point, lone surrogates too, with more letters and underscores than chance would bring.
TEXT = st.text(st.one_of(st.characters(), st.sampled_from("aàÀßİıſ_1²٣ -\u0301\u0345\ud800\0")))
LATIN = st.text(st.characters(max_codepoint=255))


@given(st.one_of(TEXT, LATIN), st.booleans(), st.integers(0, 4), st.integers(0, 20))
def test_simple_equals_gensims_preprocessing(text: str, deaccent: bool, min_len: int, more: int) -> None:
    """`simple` gives the tokens of gensim.utils.simple_preprocess for any text and options."""
    ours = SimpleTokenizer(deaccent=deaccent, min_len=min_len, max_len=min_len + more)
    assert ours(text) == simple_preprocess(text, deacc=deaccent, min_len=min_len, max_len=min_len + more)


@pytest.mark.parametrize("characters", [0x80, 0x100, 0x110000])
@pytest.mark.parametrize("deaccent", [False, True])
def test_simple_equals_gensims_preprocessing_for_every_character(deaccent: bool, characters: int) -> None:
    """No character of ASCII, Latin-1 or all of Unicode is cut or kept otherwise than gensim does."""
    text = "".join(f"{chr(i)}a " for i in range(characters))
    assert SimpleTokenizer(deaccent=deaccent)(text) == simple_preprocess(text, deacc=deaccent)


def test_composing_characters_are_known() -> None:
    """Every character that this Python's Unicode composes with the one before it is treated as composing."""
    symbol = SimpleTokenizer(deaccent=True).rules.map_character
    parts = (unicodedata.decomposition(chr(code)).split() for code in range(0x110000))
    second = {chr(int(part[1], 16)) for part in parts if len(part) == 2 and not part[0].startswith("<")}
    assert len(second) > 50
    assert not [hex(ord(character)) for character in second if symbol(character) is not None]
    assert symbol("\N{HANGUL JUNGSEONG A}") is None


def test_simple_may_keep_case() -> None:
    """Without lowercase, tokens are as the text has them."""
    assert SimpleTokenizer(lowercase=False)("Un Caffè") == ["Un", "Caffè"]


@given(TEXT)
def test_whitespace_splits_as_python_does(text: str) -> None:
    """`whitespace` is str.split."""
    assert WhitespaceTokenizer()(text) == text.split()


def test_regex_takes_every_match_that_is_not_empty() -> None:
    """`regex` is re.findall without the empty matches."""
    assert RegexTokenizer(r"[a-z]*\d?")("ab1 c2! d") == ["ab1", "c2", "d"]
    assert RegexTokenizer("[a-z]+", lowercase=True)("AbC d") == ["abc", "d"]


@pytest.mark.parametrize(
    "tokenizer",
    [SimpleTokenizer(deaccent=True, max_len=9), WhitespaceTokenizer(lowercase=True), RegexTokenizer(r"\w+")],
)
def test_a_declaration_gives_the_same_tokenizer(tokenizer: Tokenizer) -> None:
    """What a manifest declares is what was trained with."""
    assert tokenizer_from_dict(tokenizer_to_dict(tokenizer)) == tokenizer


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ({"kind": "magic"}, "unknown kind 'magic'"),
        ({"kind": []}, "unknown kind"),
        ({"kind": "simple", "min_len": 1.5}, "wrong type"),
        ({"kind": "simple", "max_len": 2**31}, "max_len"),
        ({"kind": "regex", "pattern": "a{99999999999999999999}"}, "not a regular expression"),
        ({"kind": "simple", "colour": 1}, "colour"),
        ({"kind": "simple", "min_len": 5, "max_len": 4}, "max_len"),
        ({"kind": "regex", "pattern": "("}, "not a regular expression"),
        ({"kind": "regex", "pattern": "(a)"}, "capturing group"),
        ({"kind": "regex"}, "pattern"),
    ],
)
def test_a_wrong_declaration_is_refused_by_name(declared: dict[str, object], named: str) -> None:
    """A declaration that this version cannot follow says what is wrong."""
    with pytest.raises(OptionError, match=named.replace("(", r"\(")):
        tokenizer_from_dict(declared)
