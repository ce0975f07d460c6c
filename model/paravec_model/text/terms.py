"""Makes tokenizers with a stemmer and stop words."""

from pathlib import Path

from ..errors import OptionError
from .stemmer import check_stemmer, installed_version
from .tokenizer import TermTokenizer, Tokenizer, WordTokenizer


def with_terms(words: WordTokenizer, stem: str | None = None, stop_words: Path | None = None) -> Tokenizer:
    """A tokenizer with the installed stemmer of a language, and without the words of a file.

    `stop_words`: a text in UTF-8. `words` cuts it as it cuts texts; lines that begin with # are comments.
    OptionError if there is no such stemmer, or the file cannot be read or has no words.
    """
    if stem is None and stop_words is None:
        return words
    version = ""
    if stem is not None:
        version = installed_version()
        check_stemmer(stem, version)
    stopped = read_stop_words(stop_words, words) if stop_words else ()
    return TermTokenizer(words, stem or "", version, stopped)


def read_stop_words(path: Path, words: WordTokenizer) -> tuple[str, ...]:
    """The words of a file, as a tokenizer cuts them."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problem = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise OptionError("stop_words", f"{path}: {problem}") from error
    found = {word for line in lines if not line.startswith("#") for word in words(line)}
    if not found:
        raise OptionError("stop_words", f"{path}: the tokenizer finds no word in it")
    return tuple(sorted(found))
