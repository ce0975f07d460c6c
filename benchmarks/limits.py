"""How far the kernel of DBOW is from what the machine can do: multiply-adds and bytes of rows, beside measured peaks.

    python benchmarks/limits.py

The peak is the kernel's own inner loop, products of six rows with a vector, over rows that stay in the first cache.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from numba import njit
from paravec_model.compiled import BLOCK
from paravec_model.descent import add_dots
from paravec_model.lanes import address, spread, spread_each, total

from benchmarks import inference
from benchmarks.machine import pin_to_one_core
from paravec_model.encoder import Encoder
from paravec_model.kernels import COMPILED


@njit(**COMPILED)
def _peak(rows, vector, times):
    at, size = address(rows), 4 * rows.shape[1]
    six = (at, at + size, at + 2 * size, at + 3 * size, at + 4 * size, at + 5 * size)
    sums = spread_each(spread(np.float32(0)), six)
    for _ in range(times):
        sums = add_dots(sums, address(vector), six, 0, size)
    return total(sums[0])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="d100 only, one round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds; medians are printed [%(default)s]")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    pin_to_one_core()
    sizes, rounds = ((100,), 1) if arguments.short else ((100, 300), arguments.rounds)
    rows = []
    stories = inference.corpus()
    words = [word for story in stories for word in story]
    print(f"{'d':>4} {'tokens':>6} {'ns a word':>9} {'G multiply-adds/s':>18} {'of peak':>8} {'GB/s of rows':>13}")
    for vector_size in sizes:
        _, encoder = inference.train(stories, vector_size, inference.MODELS["DBOW, negative"])
        for tokens in (20, 250):
            row = measured(encoder, inference.cut(words, tokens, 4000 // tokens), rounds)
            row |= {"vector_size": vector_size, "tokens": tokens}
            rows.append(row)
            print(
                f"{vector_size:4} {tokens:6} {row['ns_a_word']:9.1f} {row['multiply_adds'] / 1e9:18.1f}"
                f" {row['of_peak']:8.0%} {row['bytes'] / 1e9:13.0f}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": inference.machine(), "rows": rows}, indent=2) + "\n")
    return 0


def measured(encoder: Encoder, documents: inference.Documents, rounds: int) -> dict[str, Any]:
    """Figures of some documents, and of the peak in the same rounds."""
    width = encoder.artifact.arrays["syn1neg"].shape[1]
    keep = encoder.artifact.arrays["sample_int"] / 2.0**32
    words, _ = encoder.artifact.vocabulary.rows(documents)
    taken = float(sum(keep[np.asarray(words)])) * encoder.defaults.epochs
    rows, vector, times = np.ones((BLOCK, width), np.float32), np.ones(width, np.float32), 20_000
    _peak(rows, vector, 1)
    encoder.encode(documents)
    ours, peaks = [], []
    for _ in range(rounds):
        ours.append(inference.seconds(lambda: encoder.encode(documents)) / taken)
        peaks.append(inference.seconds(lambda: _peak(rows, vector, times)) / times)
    # Each word has six targets, whose rows are read twice: for the products, and for the vector's move.
    products = 2 * BLOCK * width
    per_word, peak = statistics.median(ours), products / 2 / statistics.median(peaks)
    return {
        "ns_a_word": per_word * 1e9,
        "multiply_adds": products / per_word,
        "of_peak": products / per_word / peak,
        "bytes": 4 * products / per_word,
    }


if __name__ == "__main__":
    raise SystemExit(main())
