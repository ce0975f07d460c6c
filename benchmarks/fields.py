"""Compares ways to search documents of two fields: a help page's title and body, an entry's question and answer.

    python -m benchmarks.fields                   # a minute; corpora whose packages are installed

`mean` is what `paravec-model index` does: one vector, the mean of the fields' unit vectors; `mean, body 2` gives the
body twice the weight. `max` keeps a vector for each field, and the nearer one counts. `joined` is one text of both.
Words of a query are taken out of the document that it should find. Figures are MRR.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from client.examples.libreoffice_help import HelpError

from benchmarks.models import corpus_texts
from benchmarks.quality import MODELS, Vectors, train
from benchmarks.retrieval import Collection, Tokens, faq
from paravec_model.encoder import Encoder
from paravec_model.evaluation.metrics import unit
from paravec_model.evaluation.tasks import MIN_TOKENS_TO_CUT
from paravec_model.indexing.infer import combined
from paravec_model.options import InferenceOptions, Method
from paravec_model.text.tokenizer import SimpleTokenizer

Entry = tuple[Tokens, Tokens]
Query = tuple[Tokens, Entry]
"""A query, and the entry without its words."""

_MODELS = ("negative, d100", "hierarchical, d100")
_SHORTEST_TITLE = 4


def help_entries() -> tuple[Collection, list[Entry]]:
    """LibreOffice's English help: titles and bodies, and the collection to train on."""
    tokenize = SimpleTokenizer()
    texts = corpus_texts("libreoffice-help-en-us")
    pages = [tokenize(text) for text in texts]
    split = [text.split("\n", 1) for text in texts if "\n" in text]
    return Collection(pages, pages[1::2]), [(tokenize(title), tokenize(body)) for title, body in split]


def faq_entries() -> tuple[Collection, list[Entry]]:
    """Debian's FAQ: questions and answers, and the collection to train on."""
    collection = faq()
    (task,) = collection.tasks
    return collection, list(zip(map(list, task.queries), map(list, task.targets), strict=True))  # type: ignore[union-attr]


def words_of_body(entry: Entry, count: int) -> Query:
    """Some words from all over the body."""
    title, body = entry
    chosen = set(range(0, len(body) // count * count, len(body) // count))
    return [body[i] for i in sorted(chosen)], (title, [word for i, word in enumerate(body) if i not in chosen])


def half_of_body(entry: Entry) -> Query:
    """Every second word of the body."""
    title, body = entry
    return body[1::2], (title, body[::2])


def half_of_title(entry: Entry, words: int) -> Query:
    """Every second word of the title, and some of the body."""
    title, _ = entry
    asked, (_, rest) = words_of_body(entry, words) if words else ([], entry)
    return title[1::2] + asked, (title[::2], rest)


TASKS: dict[str, Callable[[Entry], Query]] = {
    "six words of the body": partial(words_of_body, count=6),
    "half of the body": half_of_body,
    "half of the title": partial(half_of_title, words=0),
    "half of the title, 3 words of the body": partial(half_of_title, words=3),
}


def mrr(queries: Vectors, fields: Sequence[Vectors]) -> float:
    """Mean reciprocal rank of query n's own document n; the nearest of a document's fields counts."""
    cosines = np.max([unit(queries) @ unit(field).T for field in fields], axis=0)
    own = np.diagonal(cosines)[:, None]
    return float((1 / (1 + (cosines > own).sum(axis=1))).mean())


def compare(encoder: Encoder, queries: Sequence[Query], method: Method) -> dict[str, float]:
    """The figure of each way."""

    def infer(documents: Sequence[Tokens]) -> Vectors:
        return encoder.encode(documents, InferenceOptions(method=method, epochs=20)).vectors

    asked = infer([query for query, _ in queries])
    titles, bodies = (infer([entry[field] for _, entry in queries]) for field in (0, 1))
    both = np.stack([titles, bodies], axis=1).astype(np.float32)
    return {
        "mean": mrr(asked, [combined(both, [1, 1])]),
        "mean, body 2": mrr(asked, [combined(both, [1, 2])]),
        "max": mrr(asked, [titles, bodies]),
        "joined": mrr(asked, [infer([title + body for _, (title, body) in queries])]),
    }


def main() -> int:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print("| corpus | DBOW model | method | query | n | mean | mean, body 2 | max | joined |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for corpus, read in (("libreoffice-help-en-us", help_entries), ("debian-faq", faq_entries)):
        try:
            collection, entries = read()
        except (HelpError, OSError) as error:
            print(f"{corpus}: skipped: {error}", file=sys.stderr)
            continue
        entries = [(a, b) for a, b in entries if len(a) >= _SHORTEST_TITLE and len(b) >= MIN_TOKENS_TO_CUT]
        for name in _MODELS:
            _, encoder = train(collection, {"epochs": 20, **MODELS[name]})
            for method in encoder.methods:
                for task, query in TASKS.items():
                    figures = compare(encoder, [query(entry) for entry in entries], method)
                    shown = " | ".join(f"{figure:.3f}" for figure in figures.values())
                    print(f"| {corpus} | {name} | {method} | {task} | {len(entries)} | {shown} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
