"""Compares inference with gensim: documents per second, same model and documents, one core, one run.

    make bench                        # all models, in a few minutes
    make bench ARGS=--short           # one small model, in seconds
    make bench ARGS="--json out.json"

Rates are medians of several rounds. gensim and paravec alternate in each round, so that other load on the machine
affects both. Compare ratios, not rates, between machines. Method sgd runs as many epochs as gensim. Method map has no
epochs, and is compared with gensim at 100.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

# One thread for BLAS too; must be set before numpy is imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"

sys.path.insert(0, str(Path(__file__).parents[1]))

from gensim.models.doc2vec import Doc2Vec, TaggedDocument

from benchmarks.machine import cpu, pin_to_one_core, software
from benchmarks.models import random_gensim, random_words
from paravec_model.artifact import Artifact
from paravec_model.convert.export import write_artifact
from paravec_model.convert.gensim_model import GensimModel
from paravec_model.corpus.formats import named_corpus
from paravec_model.encoder import Encoder
from paravec_model.options import Method
from paravec_model.text.tokenizer import SimpleTokenizer

EPOCHS: dict[Method, int] = {"sgd": 20, "map": 100}
"""Epochs of gensim in the comparison with each of our methods."""

MODELS: dict[str, dict[str, Any]] = {
    "DBOW, negative": {"dm": 0, "negative": 5, "hs": 0},
    "DBOW, hierarchical": {"dm": 0, "negative": 0, "hs": 1},
    "DM mean, negative": {"dm": 1, "negative": 5, "hs": 0},
    "DM mean, hierarchical": {"dm": 1, "negative": 0, "hs": 1},
    "DM concat, negative": {"dm": 1, "dm_concat": 1, "negative": 5, "hs": 0},
}

Documents = Sequence[list[str]]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="one small model and few documents")
    parser.add_argument("--rounds", type=int, default=5, help="rounds [%(default)s]")
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    pin_to_one_core()
    print(machine())
    stories = corpus()
    words = [word for story in stories for word in story]
    sizes: tuple[int, ...] = (100, 300)
    lengths: tuple[int, ...] = (20, 250)
    count, models = 200, MODELS
    if arguments.short:
        sizes, lengths, count, models = (20,), (20,), 20, {"DBOW, negative": MODELS["DBOW, negative"]}
    print("Lee corpus, documents per second; ratio to gensim: median of rounds, minimum and maximum\n")
    print(
        f"{'model':22} {'method':6} {'d':>4} {'tokens':>6} {'epochs':>6} {'gensim':>7}"
        f" {'paravec':>7} {'ratio':>22} {'batch':>7} {'ratio':>22}"
    )
    rows: list[dict[str, Any]] = []

    def measure(name: str, vector_size: int, model: Doc2Vec, encoder: Encoder, words: list[str]) -> None:
        for tokens in lengths:
            documents = documents_of(words, tokens, max(10, count * 20 // tokens))
            for method in encoder.methods:
                row: dict[str, Any] = {"model": name, "method": method, "vector_size": vector_size}
                row |= {"tokens": tokens, "epochs": EPOCHS[method]}
                row |= compare(model, encoder, method, documents, arguments.rounds)
                rows.append(row)
                print(
                    f"{name:22} {method:6} {vector_size:4} {tokens:6} {row['epochs']:6} {row['gensim']:7.0f}"
                    f" {row['single']:7.0f} {format_ratio(row['single_ratio']):>22}"
                    f" {row['batch']:7.0f} {format_ratio(row['batch_ratio']):>22}",
                    flush=True,
                )

    for name, parameters in models.items():
        for vector_size in sizes:
            measure(name, vector_size, *train(stories, vector_size, parameters), words)
    if not arguments.short:
        large = random_gensim(500_000, 300)
        measure("500,000 random words", 300, large, encoder_of(large), random_words(500_000, 20_000))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    return 0


def compare(model: Doc2Vec, encoder: Encoder, method: Method, documents: Documents, rounds: int) -> dict[str, Any]:
    """Documents per second of gensim, and of paravec with one document per call and with all in one call."""
    options = replace(encoder.defaults, method=method)

    def theirs() -> None:
        for document in documents:
            model.infer_vector(document, epochs=EPOCHS[method])

    def single() -> None:
        for document in documents:
            encoder.encode([document], options)

    def batch() -> None:
        encoder.encode(documents, options)

    ways = {"gensim": theirs, "single": single, "batch": batch}
    times: dict[str, list[float]] = {name: [] for name in ways}
    single()
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(seconds(way))
    row: dict[str, Any] = {name: len(documents) / statistics.median(taken) for name, taken in times.items()}
    for name in ("single", "batch"):
        ratios = [a / b for a, b in zip(times["gensim"], times[name], strict=True)]
        row[f"{name}_ratio"] = [statistics.median(ratios), min(ratios), max(ratios)]
    return row


def format_ratio(ratio: list[float]) -> str:
    """A ratio with minimum and maximum."""
    median, lowest, highest = ratio
    return f"{median:.1f}× ({lowest:.1f} to {highest:.1f})"


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes, in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def corpus() -> list[list[str]]:
    """Tokens of gensim's Lee background corpus."""
    tokenize = SimpleTokenizer()
    return [tokenize(text) for _tags, text in named_corpus("lee")]


def documents_of(words: list[str], tokens: int, count: int) -> list[list[str]]:
    """Up to `count` documents of exactly `tokens` tokens."""
    return [words[i * tokens : (i + 1) * tokens] for i in range(min(count, len(words) // tokens))]


def train(stories: Documents, vector_size: int, parameters: dict[str, Any]) -> tuple[Doc2Vec, Encoder]:
    """A gensim model trained on `stories`, and an encoder of its artifact."""
    tagged = [TaggedDocument(story, [i]) for i, story in enumerate(stories)]
    model = Doc2Vec(tagged, vector_size=vector_size, min_count=2, epochs=EPOCHS["sgd"], workers=1, seed=1, **parameters)
    return model, encoder_of(model)


def encoder_of(model: Doc2Vec) -> Encoder:
    """An encoder of a gensim model's artifact."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        write_artifact(path, GensimModel(model), name="bench", version="1", tokenizer=SimpleTokenizer())
        # The mapped files stay valid after their deletion.
        return Encoder(Artifact.open(path))


def machine() -> str:
    """CPU and software in one line."""
    return f"{cpu()}, one core; {', '.join(f'{name} {version}' for name, version in software().items())}"


if __name__ == "__main__":
    sys.exit(main())
