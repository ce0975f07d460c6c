"""Measures the example faq_engine by the questions beside its entries, and what one would use in its place.

    make faq-index                                # trains the model and indexes the entries
    python -m benchmarks.faq                      # some seconds

The engine is asked as its page asks it, with a paravec server. BM25, tf-idf and a static embedding search the texts
`question answer` of the entries. Each but the engine gets the threshold that at most one in ten of the questions off
the subject reaches, which is the rule that the engine's own default follows.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

EXAMPLES = Path(__file__).parents[1] / "client/examples"
sys.path[:0] = [str(Path(__file__).parents[1]), str(EXAMPLES)]

from demo import server
from faq_engine.faq import Entry, read
from faq_engine.search import THRESHOLD, Search

import paravec_model
from paravec_client import AsyncEmbeddingClient
from paravec_model.errors import ModelError
from paravec_model.evaluation.baselines import baselines
from paravec_model.text.tokenizer import SimpleTokenizer

Scores = npt.NDArray[np.float64]

_FAQ = EXAMPLES / "faq_engine/faqs/office-en.jsonl"

# The share of questions off the subject that may be answered.
_ANSWERED = 0.1


@dataclass(frozen=True)
class Questions:
    """What the entries are judged by."""

    asked: list[str]
    right: npt.NDArray[np.int64]
    """The index of the right entry of each."""
    hard: npt.NDArray[np.bool_]
    """Whether it avoids the words of its entry's question."""
    unrelated: list[str]


def questions(file: Path, entries: Sequence[Entry]) -> Questions:
    """Read the questions of some entries."""
    content, place = json.loads(file.read_text()), {entry.question: n for n, entry in enumerate(entries)}
    rows = [
        (question, place[entry], kind == "hard")
        for kind in ("plain", "hard")
        for entry, several in content[kind].items()
        for question in several
    ]
    asked, right, hard = zip(*rows, strict=True)
    return Questions(list(asked), np.array(right), np.array(hard), content["unrelated"])


def row(name: str, given: Questions, related: Scores, unrelated: Scores, threshold: float | None = None) -> str:
    """A row of the table, of the scores of the questions and of those off the subject, (questions, entries)."""
    best = unrelated.max(axis=1)
    if threshold is None:
        threshold = float(np.sort(best)[::-1][int(_ANSWERED * len(best))])
        answered, reached = best > threshold, related.max(axis=1) > threshold
    else:
        answered, reached = best >= threshold, related.max(axis=1) >= threshold
    own = related[np.arange(len(related)), given.right][:, None]
    # Of equals, all others come before.
    ranks = (related > own).sum(axis=1) + ((related == own).sum(axis=1) - 1)
    first, five = ranks == 0, ranks < 5
    plain = ~given.hard
    figures = [f"{(what & plain).sum()} + {(what & given.hard).sum()}" for what in (first, five, first & reached)]
    return f"| {name} | {' | '.join(figures)} | {answered.sum()} |"


async def by_engine(target: str, file: Path, entries: Sequence[Entry], asked: Iterable[str]) -> Scores:
    """The percentage of each entry, without a threshold."""
    place = {entry: n for n, entry in enumerate(entries)}
    scores = []
    async with AsyncEmbeddingClient(target) as client:
        search = Search(client, file, -1000)
        for question in asked:
            scores.append(np.full(len(entries), -1000.0))
            for match in (await search.search(question, len(entries))).matches:
                scores[-1][place[match.entry]] = match.percent
    return np.array(scores)


def by_model(path: Path, entries: Sequence[Entry], asked: list[str], weight: float | None) -> Scores:
    """The scores of find_similar: cosines for weight 0, BM25 of words, pieces and pairs for 1."""
    model, place = paravec_model.load(path), {entry.question: n for n, entry in enumerate(entries)}
    scores = np.zeros((len(asked), len(entries)))
    for scored, found in zip(scores, model.find_similar(asked, len(entries), weight), strict=True):
        for neighbour in found:
            scored[place[str(neighbour.tag)]] = neighbour.score
    return scores


def by_characters(entries: Sequence[Entry], asked: list[str]) -> Scores:
    """Tf-idf of pieces of three to five characters."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    columns = vectorizer.fit_transform(f"{entry.question} {entry.answer}" for entry in entries).T
    return np.asarray((vectorizer.transform(asked) @ columns).todense())


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, default="build/models/faq-office-en-index", help="[%(default)s]")
    parser.add_argument("--faq", type=Path, default=_FAQ, help="with its .questions.json beside it [%(default)s]")
    arguments = parser.parse_args()
    entries = read(arguments.faq)
    given = questions(arguments.faq.with_suffix(".questions.json"), entries)
    everything, count = given.asked + given.unrelated, len(given.asked)
    tokenize = SimpleTokenizer()
    targets = [tokenize(f"{entry.question} {entry.answer}") for entry in entries]
    print(
        f"{count - given.hard.sum()} plain + {given.hard.sum()} hard questions, {len(given.unrelated)} off the subject"
    )
    print("\n| | right entry first | among five | first and shown | unrelated, but answered |")
    print("| --- | --- | --- | --- | --- |")
    try:
        with server(arguments.index) as port:
            scores = asyncio.run(by_engine(f"127.0.0.1:{port}", arguments.faq, entries, everything))
        print(row("the engine", given, scores[:count], scores[count:], THRESHOLD))
        for name, weight in (
            ("`map` alone", 0.0),
            ("the index's own weight", None),
            ("its lexical score alone", 1.0),
        ):
            scores = by_model(arguments.index, entries, everything, weight)
            print(row(name, given, scores[:count], scores[count:]))
        for one in baselines():
            blocks = [block for _, block in one.scores([tokenize(question) for question in everything], targets)]
            scores = np.concatenate(blocks)
            print(row(one.name, given, scores[:count], scores[count:]))
    except ModelError as error:
        raise SystemExit(f"benchmarks.faq: {error}") from None
    scores = by_characters(entries, everything)
    print(row("tf-idf of characters", given, scores[:count], scores[count:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
