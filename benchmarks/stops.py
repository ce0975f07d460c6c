"""Measures how soon a server stops working for a client that is gone.

    python benchmarks/stops.py --model build/models/lee --json out.json        # half a minute
    python benchmarks/stops.py --model build/models/lee --short

The server has one compute slot. A client occupies it with minutes of work and leaves: it cancels its call, its deadline
passes, or it cancels a stream. Then another call asks for one word. The time of that call, minus its time on an idle
server, is how long the server worked in vain.
"""

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.servers import PATIENCE, running

from benchmarks.machine import cpu, write_results
from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc

# How long the first client's call computes before it leaves; longer than any start of work takes.
_WORK_SECONDS = 0.25

_SHORT, _LONG = pb.Document(text="fire in the city " * 5), pb.Document(text="fire in the city " * 2000)
_LIGHT = pb.EmbedRequest(documents=[pb.Document(text="fire")])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="artifact to serve; DBOW")
    parser.add_argument("--rounds", type=int, default=20, help="repetitions of each way to leave [%(default)s]")
    parser.add_argument("--short", action="store_true", help="one round")
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    rows = list(measure(arguments.model, 1 if arguments.short else arguments.rounds))
    print(f"{cpu()}; milliseconds of work after the client was gone\n")
    print(f"{'':44}{'median':>8}{'longest':>9}")
    for row in rows:
        print(f"{row['work']:44}{1000 * row['median']:8.1f}{1000 * row['longest']:9.1f}")
    write_results(arguments.json, rows=rows)
    return 0


def measure(model: Path, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield median and maximum in seconds for each kind of work and way to leave."""
    flags = ("--threads", "1", "--max-epochs", "100000", "--max-message-bytes", "40000000")
    with running(model, *flags) as server, grpc.insecure_channel(server.target) as channel:
        stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        idle = min(light(stub) for _ in range(20))
        for name, document, count, method, ways in WORK:
            options = pb.InferenceOptions(method=method, epochs=100_000)
            heavy = pb.EmbedRequest(documents=[document] * count, options=options)
            for way in ways:
                waits = [max(0.0, way(stub, heavy) - idle) for _ in range(rounds)]
                yield {
                    "work": f"{name}, {way.__name__.replace('_', ' ')}",
                    "median": statistics.median(waits),
                    "longest": max(waits),
                    "rounds": rounds,
                }


def light(stub: Any) -> float:
    """Seconds that a call of one word takes."""
    began = time.perf_counter()
    stub.Embed(_LIGHT, timeout=PATIENCE)
    return time.perf_counter() - began


def call_cancelled(stub: Any, heavy: pb.EmbedRequest) -> float:
    """Seconds from the cancellation of a call until another call is answered."""
    call = stub.Embed.future(heavy, timeout=PATIENCE)
    time.sleep(_WORK_SECONDS)
    call.cancel()
    return light(stub)


def deadline_past(stub: Any, heavy: pb.EmbedRequest) -> float:
    """The same from a call's deadline."""
    call = stub.Embed.future(heavy, timeout=_WORK_SECONDS)
    gone = threading.Event()
    call.add_done_callback(lambda _: gone.set())
    gone.wait(PATIENCE)
    return light(stub)


def stream_cancelled(stub: Any, heavy: pb.EmbedRequest) -> float:
    """The same from the cancellation of a stream that sends more documents."""
    gone = threading.Event()

    def documents() -> Iterator[pb.EmbedStreamRequest]:
        while not gone.is_set():
            yield pb.EmbedStreamRequest(document=heavy.documents[0], options=heavy.options)

    call = stub.EmbedStream(documents(), timeout=PATIENCE)
    reading = threading.Thread(target=drain, args=(call,))
    reading.start()
    time.sleep(_WORK_SECONDS)
    call.cancel()
    waited = light(stub)
    gone.set()
    reading.join()
    return waited


def drain(call: Any) -> None:
    """Read responses until the call ends."""
    try:
        for _ in call:
            pass
    except grpc.RpcError as error:
        if call.code() is not grpc.StatusCode.CANCELLED:
            raise SystemExit(f"the stream ended by {call.code()}") from error


WAYS = (call_cancelled, deadline_past, stream_cancelled)
# The server checks for cancellation between and within documents. A unary call by map ends before it can be cancelled.
WORK = (
    ("sgd, 256 short documents", _SHORT, 256, pb.METHOD_SGD, WAYS),
    ("sgd, one of 8,000 tokens", _LONG, 1, pb.METHOD_SGD, WAYS),
    ("map, short documents", _SHORT, 1, pb.METHOD_MAP, WAYS[2:]),
)


if __name__ == "__main__":
    raise SystemExit(main())
