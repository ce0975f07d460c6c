"""Measures the time from `podman play` to the first vector, for each kind of volume.

    python benchmarks/start.py                      # root on Debian, kubectl; makes a model of 0.6 GB
    python benchmarks/start.py --words 10000

Pods are rendered from their overlays. Our client waits for readiness and gets the first vector. A container that only
exits is the base line.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.deploy.pods import Environment, free_port, make_images, podman

from benchmarks.models import random_model
from paravec_client import EmbeddingClient


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=500_000, help="words of the model (vector size 300) [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; medians are printed [%(default)s]")
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        model = random_model(Path(directory) / "model", arguments.words, 300)
        size = sum(file.stat().st_size for file in model.iterdir()) / 2**20
        make_images(model, "1.0.0")
        for number in range(arguments.rounds):
            for name, seconds in one_round(Path(directory) / str(number)):
                times.setdefault(name, []).append(seconds)
    print(f"a model of {size:.0f} MiB, median of {arguments.rounds} rounds, seconds\n")
    for name, values in times.items():
        print(f"{name:42} {statistics.median(values):6.2f}   ({min(values):.2f} to {max(values):.2f})")
    if arguments.json:
        arguments.json.write_text(json.dumps(times, indent=2) + "\n")
    return 0


def one_round(directory: Path) -> Iterator[tuple[str, float]]:
    """Yield name and seconds of each start."""
    began = time.perf_counter()
    podman("run", "--rm", "--pull=never", "localhost/busybox:1.36", "true")
    yield "a container that only exits", time.perf_counter() - began
    podman("volume", "rm", "--force", "paravec-models")
    for name, overlay in (
        ("emptyDir (development)", "development"),
        ("persistent, the first pod (production)", "production"),
        ("persistent, a later pod (production)", "production"),
        ("the image as volume", "production-image-volume"),
    ):
        environment = Environment(directory / name, overlay, free_port())
        try:
            yield name, first_vector(environment)
        finally:
            environment.remove()


def first_vector(environment: Environment) -> float:
    """Seconds from applying an overlay to the first vector."""
    began = time.perf_counter()
    environment.apply()
    with EmbeddingClient(environment.target) as client:
        client.wait_until_ready()
        client.embed("w0 w1 w2")
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
