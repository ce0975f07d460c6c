"""Tokenizers, declared in a model's manifest so that training and serving cut text the same way."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, NamedTuple

from ..errors import OptionError

# Runs of letters (and marks and underscores that Python counts as word characters) without digits:
# the same language as gensim.utils.PAT_ALPHABETIC, ((?![\d])\w)+, in a form that needs no look-ahead.
_ALPHABETIC = re.compile(r"[^\W\d]+")

# What composes with the character before it and is no mark: vowels and last consonants of Korean, a vowel of Kirat Rai.
_COMPOSING = {*range(0x1160, 0x1200), 0x16D67}


class Characters(NamedTuple):
    """A tokenizer that looks at one character after the other: how it can be followed without it, see kernels/text.c.

    Tokens are runs of characters, of which some stand for others: as "a" for "A" where case is not kept.
    """

    symbol: Callable[[str], str | None]
    """The character that stands for this one in a token, or "" if it is in none; None if that depends on those beside
    it."""
    min_len: int
    max_len: int
    """Characters of a token. Shorter and longer ones are dropped."""
    not_first: str
    """A token is dropped that begins with it."""


def _deaccent(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(c for c in decomposed if unicodedata.category(c) != "Mn"))


def _lower(character: str) -> str | None:
    """The one character that stands for it in lower case; None if there are more, or if it depends on those beside."""
    lower = character.lower()
    # A sigma at the end of a word is another letter.
    return lower if len(lower) == 1 and character != "\N{GREEK CAPITAL LETTER SIGMA}" else None


@dataclass(frozen=True)
class SimpleTokenizer:
    """Equal to `gensim.utils.simple_preprocess`: runs of letters of a bounded length."""

    kind: ClassVar[str] = "simple"

    lowercase: bool = True
    """Put the text in lower case first (gensim always does)."""
    deaccent: bool = False
    """Remove accents (combining marks of Unicode category Mn)."""
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
    def characters(self) -> Characters:
        """How to follow it."""
        return Characters(self._symbol, self.min_len, self.max_len, "_")

    def _symbol(self, character: str) -> str | None:
        symbol = _lower(character) if self.lowercase else character
        if symbol and self.deaccent:
            composes = unicodedata.category(symbol).startswith("M") or ord(symbol) in _COMPOSING
            symbol = None if composes else _deaccent(symbol)
        if symbol is None or len(symbol) != 1:
            return None
        return symbol if _ALPHABETIC.match(symbol) else ""


@dataclass(frozen=True)
class WhitespaceTokenizer:
    """Splits at white space, as `str.split` does."""

    kind: ClassVar[str] = "whitespace"

    lowercase: bool = False
    """Put the text in lower case first."""

    def __call__(self, text: str) -> list[str]:
        return (text.lower() if self.lowercase else text).split()

    @property
    def characters(self) -> Characters:
        """How to follow it."""
        return Characters(self._symbol, 1, 2**31 - 1, "")

    def _symbol(self, character: str) -> str | None:
        return "" if character.isspace() else _lower(character) if self.lowercase else character


@dataclass(frozen=True)
class RegexTokenizer:
    """Takes every match of a pattern of Python's `re`."""

    kind: ClassVar[str] = "regex"

    pattern: str
    """What a token matches; with non-capturing groups only."""
    lowercase: bool = False
    """Put the text in lower case first."""

    characters: ClassVar[None] = None
    """A pattern may look anywhere."""

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


Tokenizer = SimpleTokenizer | WhitespaceTokenizer | RegexTokenizer
KINDS: dict[str, type[Tokenizer]] = {t.kind: t for t in (SimpleTokenizer, WhitespaceTokenizer, RegexTokenizer)}


def tokenizer_to_dict(tokenizer: Tokenizer) -> dict[str, Any]:
    """The declaration that `tokenizer_from_dict` reads back."""
    return {"kind": tokenizer.kind, **asdict(tokenizer)}


def tokenizer_from_dict(declared: dict[str, Any]) -> Tokenizer:
    """The tokenizer that a manifest declares; OptionError if this version does not know it."""
    options = dict(declared)
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise OptionError("tokenizer", f"unknown kind {kind!r}, known are {', '.join(KINDS)}")
    try:
        tokenizer = KINDS[kind](**options)
    except TypeError as error:
        raise OptionError("tokenizer", f"{kind} takes other options: {error}") from error
    for field in fields(tokenizer):
        if type(getattr(tokenizer, field.name)) is not field.type:
            raise OptionError("tokenizer", f"{kind}'s {field.name} has the wrong type")
    return tokenizer
