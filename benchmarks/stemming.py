"""Measures how fast texts are read with and without a stemmer and stop words: python -m benchmarks.stemming

All ways read the same texts, in turns. "first" is a reader that has met no word; "again" is the same reader later;
"plain" stems every word of every text, as a program without the table of forms would.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.models import corpus_texts
from paravec_model.text.stemmer import installed_version
from paravec_model.text.token_ids import TokenIdReader
from paravec_model.text.tokenizer import SimpleTokenizer, TermTokenizer, Tokenizer
from paravec_model.text.vocabulary import Vocabulary, vocabulary_arrays

_BATCH, _STOP_WORDS = 64, 100


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="libreoffice-help-it", help="the texts [%(default)s]")
    parser.add_argument("--stem", default="italian", help="the language [%(default)s]")
    parser.add_argument("--rounds", type=int, default=9, help="the median of so many is shown [%(default)s]")
    arguments = parser.parse_args()
    texts, words = corpus_texts(arguments.corpus), SimpleTokenizer()
    common = Counter(chain.from_iterable(map(words, texts))).most_common(_STOP_WORDS)
    stopped = tuple(sorted(word for word, _ in common))
    stemmed = TermTokenizer(words, arguments.stem, installed_version(), ())
    ways: dict[str, Tokenizer] = {
        "words": words,
        "stop words": TermTokenizer(words, stop_words=stopped),
        "stems": stemmed,
        "stems, stop words": TermTokenizer(words, arguments.stem, installed_version(), stopped),
    }
    vocabularies = {name: vocabulary_of(tokenizer, texts) for name, tokenizer in ways.items()}
    readers = {name: TokenIdReader(tokenizer, vocabularies[name]) for name, tokenizer in ways.items()}
    warm = TokenIdReader(words, vocabularies["words"])
    read(warm, texts)
    seconds: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        for name, tokenizer in ways.items():
            seconds.setdefault(f"{name}, first", []).append(
                timed(read, TokenIdReader(tokenizer, vocabularies[name]), texts)
            )
            seconds.setdefault(f"{name}, again", []).append(timed(read, readers[name], texts))
        seconds.setdefault("stems, plain", []).append(timed(read_plainly, stemmed, vocabularies["stems"], texts))
    count = sum(len(words(text)) for text in texts)
    base = median(seconds["words, again"])
    print(f"{len(texts):,} texts of {count:,} words")
    for name, some in seconds.items():
        print(
            f"{name:<26} {count / median(some) / 1e6:6.2f} million words/s  {median(some) / base:6.2f} times the time"
        )
    return 0


def vocabulary_of(tokenizer: Tokenizer, texts: Sequence[str]) -> Vocabulary:
    """The words that occur at least twice."""
    counts = Counter(chain.from_iterable(map(tokenizer, texts)))
    return Vocabulary(*vocabulary_arrays(sorted(word for word, count in counts.items() if count > 1)).values())


def read(reader: TokenIdReader, texts: Sequence[str]) -> None:
    """Read the texts in batches."""
    for first in range(0, len(texts), _BATCH):
        reader(texts[first : first + _BATCH])


def read_plainly(tokenizer: TermTokenizer, vocabulary: Vocabulary, texts: Sequence[str]) -> None:
    """Read the texts by stemming each word."""
    for first in range(0, len(texts), _BATCH):
        terms = ([tokenizer.term(word) for word in tokenizer.words(text)] for text in texts[first : first + _BATCH])
        vocabulary.ids_of([[term for term in some if term is not None] for some in terms])


def timed(work: Callable[..., None], *arguments: Any) -> float:
    """Seconds of a call."""
    begin = perf_counter()
    work(*arguments)
    return perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
