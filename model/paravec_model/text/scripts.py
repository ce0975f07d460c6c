"""A warning for texts in scripts without spaces between words, which the tokenizers cannot split into words."""

import logging
import re
from collections import Counter
from collections.abc import Iterable

from .tokenizer import SimpleTokenizer, Tokenizer, WhitespaceTokenizer, words_tokenizer

_logger = logging.getLogger(__name__)

_RANGES = {
    "Han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "Hiragana": "\u3041-\u309f",
    "Katakana": "\u30a1-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    "Thai": "\u0e01-\u0e3a\u0e40-\u0e4e",
    "Lao": "\u0e81-\u0ebc\u0ec0-\u0ecd",
    "Khmer": "\u1780-\u17d3",
    "Burmese": "\u1000-\u109f",
}
_RUN = re.compile(f"[{''.join(_RANGES.values())}]+")
_SCRIPTS = {name: re.compile(f"[{letters}]") for name, letters in _RANGES.items()}

# Texts with a greater share of letters in these scripts are written in them; names and quotations make up less.
_MIN_SHARE = 0.3

# Runs of letters are at most this long on average if another program has put spaces between the words.
_MAX_MEAN_WORD_LENGTH = 4


def warn_if_unspaced(texts: Iterable[str], tokenizer: Tokenizer) -> None:
    """Log a warning if texts are in a script without spaces and the tokenizer needs spaces. It quotes no text."""
    tokenizer = words_tokenizer(tokenizer)
    if not isinstance(tokenizer, SimpleTokenizer | WhitespaceTokenizer):
        return
    letters, runs, found = 0, 0, Counter[str]()
    for text in texts:
        letters += sum(map(str.isalpha, text))
        pieces = _RUN.findall(text)
        runs += len(pieces)
        found.update({name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()})
    total = found.total()
    # The simple tokenizer drops words of one letter, so spaces between words are enough only for `whitespace`.
    has_spaces = isinstance(tokenizer, WhitespaceTokenizer) and total <= _MAX_MEAN_WORD_LENGTH * runs
    if total <= _MIN_SHARE * letters or has_spaces:
        return
    names = " and ".join(name for name, count in found.most_common(2) if count > _MIN_SHARE / 3 * total)
    _logger.warning(
        "the texts are in %s, which has no spaces between words, so the tokenizer %s takes whole phrases for words;"
        " split texts into words first, in training and in requests (jieba, MeCab or PyThaiNLP do): put spaces between"
        " the words and use --tokenizer whitespace, or send tokens",
        names,
        tokenizer.kind,
    )
