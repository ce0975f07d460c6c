"""Tokenizers. The manifest declares the model's tokenizer, so that training and serving split text the same way."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, NamedTuple

from ..errors import OptionError
from .stemmer import check_stemmer, stems_of

# Word characters of Python's `re` without digits. It matches the same as gensim.utils.PAT_ALPHABETIC, ((?![\d])\w)+,
# without a look-ahead.
_ALPHABETIC = re.compile(r"[^\W\d]+")

# Characters that NFC composes with the one before them although they are no marks: medial vowels and final consonants
# of Hangul, and a vowel of Kirat Rai.
_COMPOSING = {*range(0x1160, 0x1200), 0x16D67}


class CharacterRules(NamedTuple):
    """A tokenizer as rules for single characters, which kernels/text.c follows without calling Python.

    Tokens are the runs of characters between separators, each character mapped, for example to lower case.
    """

    map_character: Callable[[str], str | None]
    """The character to put into a token for this one; "" for a separator; None if that depends on the characters
    around."""
    min_len: int
    """Tokens of fewer characters are dropped."""
    max_len: int
    """Tokens of more characters are dropped."""
    not_first: str
    """Tokens that begin with this character are dropped; "" drops none."""


def _deaccent(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(c for c in decomposed if unicodedata.category(c) != "Mn"))


def _lower(character: str) -> str | None:
    """The character in lower case; None if that is several characters, or depends on the characters around."""
    lower = character.lower()
    # At the end of a word, str.lower makes a final sigma.
    return lower if len(lower) == 1 and character != "\N{GREEK CAPITAL LETTER SIGMA}" else None


@dataclass(frozen=True)
class SimpleTokenizer:
    """Runs of letters of a bounded length, equal to `gensim.utils.simple_preprocess`."""

    kind: ClassVar[str] = "simple"

    lowercase: bool = True
    """Lower-case the text first, as gensim always does."""
    deaccent: bool = False
    """Remove accents: combining marks of Unicode category Mn."""
    min_len: int = 2
    """Drop tokens of fewer characters."""
    max_len: int = 15
    """Drop tokens of more characters."""

    def __post_init__(self) -> None:
        if self.min_len < 0:
            raise OptionError("min_len", f"must be 0 or more, not {self.min_len}")
        if not self.min_len <= self.max_len < 2**31:
            raise OptionError("max_len", f"must be min_len ({self.min_len}) to 2^31 - 1, not {self.max_len}")

    def __call__(self, text: str) -> list[str]:
        if self.lowercase:
            text = text.lower()
        if self.deaccent:
            text = _deaccent(text)
        low, high = self.min_len, self.max_len
        return [t for t in _ALPHABETIC.findall(text) if low <= len(t) <= high and t[0] != "_"]

    @property
    def rules(self) -> CharacterRules:
        """Rules for the kernel."""
        return CharacterRules(self._map_character, self.min_len, self.max_len, "_")

    def _map_character(self, character: str) -> str | None:
        mapped = _lower(character) if self.lowercase else character
        if mapped and self.deaccent:
            composes = unicodedata.category(mapped).startswith("M") or ord(mapped) in _COMPOSING
            mapped = None if composes else _deaccent(mapped)
        if mapped is None or len(mapped) != 1:
            return None
        return mapped if _ALPHABETIC.match(mapped) else ""


@dataclass(frozen=True)
class WhitespaceTokenizer:
    """Splits at white space as `str.split` does."""

    kind: ClassVar[str] = "whitespace"

    lowercase: bool = False
    """Lower-case the text first."""

    def __call__(self, text: str) -> list[str]:
        return (text.lower() if self.lowercase else text).split()

    @property
    def rules(self) -> CharacterRules:
        """Rules for the kernel."""
        return CharacterRules(self._map_character, 1, 2**31 - 1, "")

    def _map_character(self, character: str) -> str | None:
        return "" if character.isspace() else _lower(character) if self.lowercase else character


@dataclass(frozen=True)
class RegexTokenizer:
    """Every match of a pattern of Python's `re` is a token."""

    kind: ClassVar[str] = "regex"

    pattern: str
    """The pattern. Its groups must be non-capturing."""
    lowercase: bool = False
    """Lower-case the text first."""

    rules: ClassVar[None] = None
    """A pattern may match across any characters."""

    def __post_init__(self) -> None:
        try:
            compiled = re.compile(self.pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise OptionError("pattern", f"is not a regular expression: {error}") from error
        if compiled.groups:
            raise OptionError("pattern", "has a capturing group, write (?:...) instead of (...)")
        object.__setattr__(self, "_findall", compiled.findall)

    def __call__(self, text: str) -> list[str]:
        found: list[str] = self._findall(text.lower() if self.lowercase else text)  # type: ignore[attr-defined]
        return [token for token in found if token]


WordTokenizer = SimpleTokenizer | WhitespaceTokenizer | RegexTokenizer
KINDS: dict[str, type[WordTokenizer]] = {t.kind: t for t in (SimpleTokenizer, WhitespaceTokenizer, RegexTokenizer)}


_TERM_OPTIONS = ("stemmer", "stemmer_version", "stop_words")

# GetModel's answer holds them all.
_MAX_STOP_WORDS = 10_000
_MAX_STOP_WORD_LENGTH = 100


def _is_unicode(word: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in word)


@dataclass(frozen=True)
class TermTokenizer:
    """The words that another tokenizer finds, without stop words, each reduced to its stem."""

    words: WordTokenizer
    """Cuts the text."""
    stemmer: str = ""
    """Language of the Snowball stemmer, such as "italian"; "" for none."""
    stemmer_version: str = ""
    """The version of PyStemmer that made the stems: another's may differ. "" without a stemmer."""
    stop_words: tuple[str, ...] = ()
    """Words, as `words` finds them, that are left out; sorted."""

    def __post_init__(self) -> None:
        if not re.fullmatch("[a-z_]{0,30}", self.stemmer) or not re.fullmatch("[0-9a-z.+]{0,30}", self.stemmer_version):
            raise OptionError(
                "stemmer", "must be a language of Snowball, such as italian, with the version of PyStemmer"
            )
        if bool(self.stemmer) != bool(self.stemmer_version):
            raise OptionError("stemmer", "and stemmer_version go together")
        if list(self.stop_words) != sorted(set(self.stop_words)):
            raise OptionError("stop_words", "must be sorted and distinct")
        fit = all(len(word) <= _MAX_STOP_WORD_LENGTH and _is_unicode(word) for word in self.stop_words)
        if len(self.stop_words) > _MAX_STOP_WORDS or not fit:
            raise OptionError(
                "stop_words",
                f"must be at most {_MAX_STOP_WORDS:,} words of Unicode, of at most {_MAX_STOP_WORD_LENGTH} characters",
            )
        object.__setattr__(self, "_stopped", frozenset(self.stop_words))

    @property
    def kind(self) -> str:
        """The kind of `words`."""
        return self.words.kind

    def __call__(self, text: str) -> list[str]:
        words, stopped = self.words(text), self._stopped  # type: ignore[attr-defined]
        kept = [word for word in words if word not in stopped] if stopped else words
        return list(map(stems_of(self.stemmer).__getitem__, kept)) if self.stemmer else kept

    def term(self, word: str) -> str | None:
        """The token for a word that `words` found; None for a stop word. It is not kept."""
        if word in self._stopped:  # type: ignore[attr-defined]
            return None
        return stems_of(self.stemmer).make(word) if self.stemmer else word


Tokenizer = WordTokenizer | TermTokenizer


def words_tokenizer(tokenizer: Tokenizer) -> WordTokenizer:
    """What cuts the text, without stop words and stemmer."""
    return tokenizer.words if isinstance(tokenizer, TermTokenizer) else tokenizer


def check_tokenizer(tokenizer: Tokenizer) -> None:
    """OptionError if this installation lacks the tokenizer's stemmer. Manifests can be read without it."""
    if isinstance(tokenizer, TermTokenizer) and tokenizer.stemmer:
        check_stemmer(tokenizer.stemmer, tokenizer.stemmer_version)


def tokenizer_to_dict(tokenizer: Tokenizer) -> dict[str, Any]:
    """The tokenizer as the manifest declares it. It names stemmer and stop words only where there are any."""
    words = words_tokenizer(tokenizer)
    declared = {"kind": words.kind, **asdict(words)}
    if isinstance(tokenizer, TermTokenizer):
        terms = {name: getattr(tokenizer, name) for name in _TERM_OPTIONS}
        declared |= {name: list(value) if isinstance(value, tuple) else value for name, value in terms.items() if value}
    return declared


def tokenizer_from_dict(declared: dict[str, Any]) -> Tokenizer:
    """The tokenizer that a manifest declares; OptionError if this version of paravec does not know it."""
    options = dict(declared)
    terms = {name: options.pop(name) for name in _TERM_OPTIONS if name in options}
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise OptionError("tokenizer", f"unknown kind {kind!r}, known are {', '.join(KINDS)}")
    try:
        tokenizer = KINDS[kind](**options)
    except TypeError as error:
        raise OptionError("tokenizer", f"{kind} does not take these options: {error}") from error
    for field in fields(tokenizer):
        if type(getattr(tokenizer, field.name)) is not field.type:
            raise OptionError("tokenizer", f"{kind}'s {field.name} has the wrong type")
    return _with_terms(tokenizer, terms) if terms else tokenizer


def _with_terms(words: WordTokenizer, terms: dict[str, Any]) -> TermTokenizer:
    for name, value in terms.items():
        items = value if name == "stop_words" and isinstance(value, list) else [value]
        if not value or (name == "stop_words") is not isinstance(value, list) or not all(type(i) is str for i in items):
            raise OptionError("tokenizer", f"{name} is empty or has the wrong type")
    return TermTokenizer(words, **terms | {"stop_words": tuple(terms.get("stop_words", ()))})
