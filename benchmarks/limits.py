"""Compares the DBOW kernel with the machine's peak: multiply-adds per second, and bandwidth of matrix rows.

    python benchmarks/limits.py

The peak is measured by peak.c, compiled for this machine by the compiler of the kernels: their inner loop, the dot
products of six rows with a vector, over rows that stay in the L1 cache.
"""

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from benchmarks import inference
from benchmarks.machine import pin_to_one_core
from paravec_model.encoder import Encoder
from paravec_model.kernels import build, interface, levels

Peak = Callable[[int, int, int, int], float]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="d100 only, one round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds; medians are printed [%(default)s]")
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    peak = compile_peak()
    pin_to_one_core()
    sizes, rounds = ((100,), 1) if arguments.short else ((100, 300), arguments.rounds)
    rows = []
    stories = inference.corpus()
    words = [word for story in stories for word in story]
    print(f"{'d':>4} {'tokens':>6} {'ns a word':>9} {'G multiply-adds/s':>18} {'of peak':>8} {'GB/s of rows':>13}")
    for vector_size in sizes:
        _, encoder = inference.train(stories, vector_size, inference.MODELS["DBOW, negative"])
        for tokens in (20, 250):
            row = measure(encoder, inference.documents_of(words, tokens, 4000 // tokens), rounds, peak)
            row |= {"vector_size": vector_size, "tokens": tokens}
            rows.append(row)
            print(
                f"{vector_size:4} {tokens:6} {row['ns_a_word']:9.1f} {row['multiply_adds'] / 1e9:18.1f}"
                f" {row['of_peak']:8.0%} {row['bytes'] / 1e9:13.0f}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": inference.machine(), "rows": rows}, indent=2) + "\n")
    return 0


def compile_peak() -> Peak:
    """The function `peak` of peak.c. Raises SystemExit if it cannot be compiled."""
    with tempfile.TemporaryDirectory() as directory:
        library, source = f"{directory}/peak.so", Path(__file__).with_name("peak.c")
        flags = [*build.FLAGS, "-fvisibility=default", "-march=native", f"-I{levels.FOLDER}"]
        try:
            subprocess.run([*build.find_compiler().command, *flags, "-o", library, source], check=True)
        except (build.BuildError, OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"peak.c cannot be compiled: {error}") from error
        peak = ctypes.CDLL(library).peak
    peak.argtypes, peak.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64], ctypes.c_float
    run: Peak = peak
    return run


def measure(encoder: Encoder, documents: inference.Documents, rounds: int, peak: Peak) -> dict[str, Any]:
    """Rates of the kernel for some documents, and its share of the peak, measured in the same rounds."""
    width = encoder.artifact.arrays["syn1neg"].shape[1]
    keep = encoder.artifact.arrays["sample_int"] / 2.0**32
    words, _ = encoder.artifact.vocabulary.ids_of(documents)
    taken = float(sum(keep[np.asarray(words)])) * encoder.defaults.epochs
    rows, vector, times = np.ones((interface.BLOCK, width), np.float32), np.ones(width, np.float32), 20_000
    loop = (interface.address(rows), interface.address(vector), width)
    peak(*loop, 1)
    encoder.encode(documents)
    ours, peaks = [], []
    for _ in range(rounds):
        ours.append(inference.seconds(lambda: encoder.encode(documents)) / taken)
        peaks.append(inference.seconds(lambda: peak(*loop, times)) / times)
    # Each word has six targets. Each target's row is read twice: for the dot product, and for the update of the vector.
    products = 2 * interface.BLOCK * width
    per_word, most = statistics.median(ours), products / 2 / statistics.median(peaks)
    return {
        "ns_a_word": per_word * 1e9,
        "multiply_adds": products / per_word,
        "of_peak": products / per_word / most,
        "bytes": 4 * products / per_word,
    }


if __name__ == "__main__":
    raise SystemExit(main())
