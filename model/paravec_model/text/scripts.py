"""Scripts that are written without spaces between words, of which the usual tokenizers find no words."""

import logging
import re
from collections import Counter
from collections.abc import Iterable

from .tokenizer import SimpleTokenizer, Tokenizer, WhitespaceTokenizer

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

# Beyond this share of the letters, the texts are of these scripts; names and quotations alone are less.
_SHARE = 0.3

# Letters that stand together, on average, in texts that were cut into words before.
_WORD = 4


def warn_if_unspaced(texts: Iterable[str], tokenizer: Tokenizer) -> None:
    """Warn if texts are in a script without spaces, and the tokenizer cuts at spaces. Of the texts, nothing is told."""
    if not isinstance(tokenizer, SimpleTokenizer | WhitespaceTokenizer):
        return
    letters, runs, found = 0, 0, Counter[str]()
    for text in texts:
        letters += sum(map(str.isalpha, text))
        pieces = _RUN.findall(text)
        runs += len(pieces)
        found.update({name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()})
    total = found.total()
    # What was cut into words keeps them by white space; the other tokenizer drops words of one letter.
    cut = isinstance(tokenizer, WhitespaceTokenizer) and total <= _WORD * runs
    if total <= _SHARE * letters or cut:
        return
    names = " and ".join(name for name, count in found.most_common(2) if count > _SHARE / 3 * total)
    _logger.warning(
        "the texts are in %s, which has no spaces between words, and the tokenizer %s takes what stands between spaces"
        " for a word; cut texts into words before, here and where they are sent (jieba, MeCab, PyThaiNLP and others"
        " do), with spaces between them for --tokenizer whitespace, or send tokens", names, tokenizer.kind
    )  # fmt: skip
