"""Compares our decoder of EmbedResponse with `np.array(message.vector)` on protobuf's message.

    python benchmarks/decoding.py [--short] [--json FILE]

Responses have 256 embeddings. Our time includes parsing the bytes; protobuf's message is already parsed.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import write_results
from paravec.v1 import embedding_pb2 as pb
from paravec_client._protocol.decode import decode_embed_response

_DOCUMENTS = 256


def main() -> None:
    """Measure and print a row for each vector size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="one round")
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    rounds = 1 if arguments.short else 30
    rows = [_row(size, rounds) for size in (50, 100, 300)]
    print(f"{'size':>8} {'np.array, µs':>13} {'ours, µs':>9} {'ratio':>6}")
    for row in rows:
        print(f"{row['vector_size']:>8} {row['protobuf_us']:>13.2f} {row['ours_us']:>9.2f} {row['ratio']:>6.2f}")
    write_results(arguments.json, rows=rows)


def _row(size: int, rounds: int) -> dict[str, float]:
    """Microseconds per document, the minimum of the rounds."""
    chance = np.random.default_rng(0)
    message = pb.EmbedResponse(model=pb.ModelVersion(name="m", version="1", digest="sha256:" + "0" * 64))
    for _ in range(_DOCUMENTS):
        numbers = chance.normal(size=size).astype(np.float32).tolist()
        message.embeddings.add(vector=numbers, token_count=20, known_token_count=18)
    data = message.SerializeToString()
    theirs = _best(lambda: [np.array(embedding.vector) for embedding in message.embeddings], rounds)
    ours = _best(lambda: decode_embed_response(data), rounds)
    return {"vector_size": size, "protobuf_us": theirs, "ours_us": ours, "ratio": ours / theirs}


def _best(run: Callable[[], object], rounds: int) -> float:
    best = float("inf")
    for _ in range(3 * rounds):
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return best / _DOCUMENTS * 1e6


if __name__ == "__main__":
    main()
