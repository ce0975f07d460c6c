"""Snowball's stemmers. They are in the package PyStemmer, which only models with a stemmer need."""

import threading
from functools import cache
from importlib.metadata import version
from types import ModuleType
from typing import Any

from ..errors import OptionError

_MISSING = "needs PyStemmer: pip install 'paravec[stem]'"
_STEMS_KEPT = 2**16
_LONGEST_KEPT = 64


class Stems(dict[str, str]):
    """The stems of words in one language, by word; each is made when it is first asked for. Threads may share it.

    It keeps a bounded number of them, as the words of a server's callers have no end.
    """

    def __init__(self, language: str) -> None:
        """`language`: a name of PyStemmer's, such as "italian"."""
        super().__init__()
        self._language = language
        # A stemmer of PyStemmer is not safe to share.
        self._of_thread = threading.local()

    def __missing__(self, word: str) -> str:
        stem = self.make(word)
        if len(self) >= _STEMS_KEPT:
            self.clear()
        if len(word) <= _LONGEST_KEPT:
            self[word] = stem
        return stem

    def make(self, word: str) -> str:
        """The stem of a word, which is not kept."""
        stemmer: Any = getattr(self._of_thread, "stemmer", None)
        if stemmer is None:
            stemmer = self._of_thread.stemmer = _library().Stemmer(self._language, 0)
        try:
            stem: str = stemmer.stemWord(word)
        except UnicodeEncodeError:
            # A lone surrogate, which is no letter of any language.
            return word
        return stem


@cache
def stems_of(language: str) -> Stems:
    """The stems of a language; `check_stemmer` says whether there are any."""
    return Stems(language)


def check_stemmer(language: str, needed: str) -> None:
    """OptionError unless words get the same stems here as where PyStemmer had the version needed.

    Stems change between versions of PyStemmer, so another version is refused.
    """
    installed = installed_version()
    if needed != installed:
        raise OptionError(
            "stemmer",
            f"needs PyStemmer {needed}, because other versions may make other stems, and {installed} is installed:"
            f" pip install pystemmer=={needed}, or train again",
        )
    if language not in _library().algorithms():
        raise OptionError("stemmer", f"{language!r} is not known; PyStemmer has {', '.join(_library().algorithms())}")


def installed_version() -> str:
    """The version of PyStemmer; OptionError if it is not installed."""
    _library()
    try:
        # Its own function version() says 2.0.1 in 3.0.0 too.
        return version("PyStemmer")
    except ImportError:
        raise OptionError("stemmer", _MISSING) from None


def _library() -> ModuleType:
    try:
        import Stemmer
    except ImportError:
        raise OptionError("stemmer", _MISSING) from None
    library: ModuleType = Stemmer
    return library
