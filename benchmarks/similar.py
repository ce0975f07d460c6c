"""Compares the search for similar documents with gensim's most_similar and plain numpy: a million documents, one core.

    python benchmarks/similar.py                   # 1,000,000 × 100: a minute, 1.5 GB of memory and 0.5 GB of disk
    python benchmarks/similar.py --short           # small, in seconds
    python benchmarks/similar.py --json out.json

Documents and queries are random. Times are CPU times, medians of several rounds in which all ways alternate. gensim
searches one query per call; numpy multiplies blocks of rows by all queries and keeps the best of each block.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

# One thread for BLAS too; must be set before numpy is imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import numpy.typing as npt
from gensim.models import KeyedVectors

from benchmarks.machine import cpu, pin_to_one_core, write_results
from benchmarks.models import random_model
from paravec_model.artifact import Artifact
from paravec_model.inference.similar import DocumentIndex

Vectors = npt.NDArray[np.float32]

# Rows that numpy multiplies at a time.
_BLOCK_ROWS = 16_384

_MEMORY = """
import sys, time, numpy as np
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder

def private_memory():
    line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024

began = time.perf_counter()
artifact = Artifact.open(sys.argv[1])
last = artifact.doctags[-1]
opened = time.perf_counter() - began
encoder = Encoder(artifact)
encoder.warm_up()
queries = np.random.default_rng(5).standard_normal((256, encoder.manifest.algorithm.vector_size), np.float32)
encoder.document_index.find(queries[:1], 100)
before = private_memory()
encoder.document_index.find(queries[:1], 100)
one = private_memory()
encoder.document_index.find(queries, 100)
print(opened * 1000, before, one - before, private_memory() - before)
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="few documents")
    parser.add_argument("--documents", type=int, default=1_000_000, help="[%(default)s]")
    parser.add_argument("--vector-size", type=int, default=100, help="[%(default)s]")
    parser.add_argument("--top-k", type=int, default=10, help="[%(default)s]")
    parser.add_argument("--rounds", type=int, default=7, help="rounds [%(default)s]")
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.documents, arguments.rounds = 20_000, 1
    pin_to_one_core()
    print(f"{cpu()}, one core; {arguments.documents:,} × {arguments.vector_size}, top {arguments.top_k}\n")
    with tempfile.TemporaryDirectory() as folder:
        path = random_model(Path(folder) / "model", 1000, arguments.vector_size, documents=arguments.documents)
        rows = compare(Artifact.open(path), arguments)
        output = subprocess.run(
            [sys.executable, "-c", _MEMORY, path], capture_output=True, text=True, check=True
        ).stdout
    opened, private, one, many = map(float, output.split())
    print(f"\nopened in {opened:.1f} ms; {private:.0f} MiB private, {one:+.1f} after one query, {many:+.1f} after 256")
    memory = {"open_milliseconds": opened, "own_mib": private, "one_query_mib": one, "many_queries_mib": many}
    sizes = {name: getattr(arguments, name) for name in ("documents", "vector_size", "top_k", "rounds")}
    write_results(arguments.json, **sizes, rows=rows, memory=memory)
    return 0


def compare(artifact: Artifact, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds of each way, for one and for several queries per call."""
    neighbours, top_k = DocumentIndex(artifact), arguments.top_k
    vectors, norms = artifact.arrays["doctag_vectors"], artifact.arrays["doctag_norms"]
    theirs = KeyedVectors(arguments.vector_size, count=0)
    theirs.index_to_key, theirs.vectors = range(len(vectors)), vectors
    theirs.fill_norms()
    rows = []
    print(f"{'queries':>7} {'paravec':>9} {'gensim':>9} {'ratio':>6} {'numpy':>9} {'ratio':>6}   milliseconds")
    for count in (1, 16, 256):
        queries = np.random.default_rng(count).standard_normal((count, arguments.vector_size), np.float32)
        ways: dict[str, Callable[[], object]] = {
            "paravec": partial(neighbours.find, queries, top_k),
            "gensim": partial(one_by_one, theirs, queries, top_k),
            "numpy": partial(plain, vectors, norms, queries, top_k),
        }
        rounds = arguments.rounds if count < 100 else min(3, arguments.rounds)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():
            # Warm up: bring all pages into memory.
            if count == 1:
                way()
        for _ in range(rounds):
            for name, way in ways.items():
                taken[name].append(milliseconds(way))
        row: dict[str, Any] = {"queries": count, **{name: statistics.median(times) for name, times in taken.items()}}
        for other in ("gensim", "numpy"):
            ratios = [a / b for a, b in zip(taken[other], taken["paravec"], strict=True)]
            row[f"{other}_ratio"] = [statistics.median(ratios), min(ratios), max(ratios)]
        rows.append(row)
        print(
            f"{count:7} {row['paravec']:9.1f} {row['gensim']:9.1f} {row['gensim_ratio'][0]:5.1f}×"
            f" {row['numpy']:9.1f} {row['numpy_ratio'][0]:5.1f}×",
            flush=True,
        )
    return rows


def one_by_one(theirs: KeyedVectors, queries: Vectors, top_k: int) -> list[Any]:
    """Search by gensim."""
    return [theirs.most_similar([query], topn=top_k) for query in queries]


def plain(vectors: Vectors, norms: Vectors, queries: Vectors, top_k: int) -> list[npt.NDArray[np.intp]]:
    """Search by numpy: the most similar rows to each query."""
    units = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    cosines, rows = [], []
    for begin in range(0, len(vectors), _BLOCK_ROWS):
        block = units @ vectors[begin : begin + _BLOCK_ROWS].T / norms[begin : begin + _BLOCK_ROWS]
        best = np.argpartition(block, -min(top_k, block.shape[1]), axis=1)[:, -top_k:]
        cosines.append(np.take_along_axis(block, best, axis=1))
        rows.append(best + begin)
    every, where = np.concatenate(cosines, axis=1), np.concatenate(rows, axis=1)
    order = np.argsort(-every, axis=1)[:, :top_k]
    return list(np.take_along_axis(where, order, axis=1))


def milliseconds(work: Callable[[], object]) -> float:
    """CPU time of `work`, which other processes do not affect; all ways run in one thread."""
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


if __name__ == "__main__":
    sys.exit(main())
