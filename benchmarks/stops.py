"""How soon a server stops working for a caller that is gone.

    python benchmarks/stops.py --model build/models/lee --json out.json        # half a minute
    python benchmarks/stops.py --model build/models/lee --short

The server has one turn to compute. A caller takes it with minutes of work and leaves: it cancels its call, its deadline
comes, or it cancels a stream. Then another asks for one word. What passes until that is answered, less what it takes on
an idle server, is how long the first one's work went on in vain.
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

from benchmarks.machine import cpu, write_figures
from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc

# Seconds that the first caller computes before it leaves; longer than any start of its work takes.
_WORK = 0.25

_SHORT, _LONG = pb.Document(text="fire in the city " * 5), pb.Document(text="fire in the city " * 2000)
_LIGHT = pb.EmbedRequest(documents=[pb.Document(text="fire")])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="artifact to serve; DBOW")
    parser.add_argument("--rounds", type=int, default=20, help="of each way to leave [%(default)s]")
    parser.add_argument("--short", action="store_true", help="one round")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    rows = list(measure(arguments.model, 1 if arguments.short else arguments.rounds))
    print(f"{cpu()}; milliseconds of work after its caller was gone\n")
    print(f"{'':44}{'median':>8}{'longest':>9}")
    for row in rows:
        print(f"{row['work']:44}{1000 * row['median']:8.1f}{1000 * row['longest']:9.1f}")
    write_figures(arguments.json, rows=rows)
    return 0


def measure(model: Path, rounds: int) -> Iterator[dict[str, Any]]:
    """For each kind of work and each way to leave: the median and the longest of the seconds."""
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
    """Seconds of a call with one word."""
    began = time.perf_counter()
    stub.Embed(_LIGHT, timeout=PATIENCE)
    return time.perf_counter() - began


def call_cancelled(stub: Any, heavy: pb.EmbedRequest) -> float:
    """Seconds from the end of a call by its caller's wish until another is answered."""
    call = stub.Embed.future(heavy, timeout=PATIENCE)
    time.sleep(_WORK)
    call.cancel()
    return light(stub)


def deadline_past(stub: Any, heavy: pb.EmbedRequest) -> float:
    """The same, by its deadline."""
    call = stub.Embed.future(heavy, timeout=_WORK)
    gone = threading.Event()
    call.add_done_callback(lambda _: gone.set())
    gone.wait(PATIENCE)
    return light(stub)


def stream_cancelled(stub: Any, heavy: pb.EmbedRequest) -> float:
    """The same of a stream with more documents to come, by its caller's wish."""
    gone = threading.Event()

    def documents() -> Iterator[pb.EmbedStreamRequest]:
        while not gone.is_set():
            yield pb.EmbedStreamRequest(document=heavy.documents[0], options=heavy.options)

    call = stub.EmbedStream(documents(), timeout=PATIENCE)
    reading = threading.Thread(target=drained, args=(call,))
    reading.start()
    time.sleep(_WORK)
    call.cancel()
    waited = light(stub)
    gone.set()
    reading.join()
    return waited


def drained(call: Any) -> None:
    """Read answers until the call ends."""
    try:
        for _ in call:
            pass
    except grpc.RpcError as error:
        if call.code() is not grpc.StatusCode.CANCELLED:
            raise SystemExit(f"the stream ended by {call.code()}") from error


WAYS = (call_cancelled, deadline_past, stream_cancelled)
# Whether anybody waits is looked at between documents and within them. A call by map is over before one can leave.
WORK = (
    ("sgd, 256 short documents", _SHORT, 256, pb.METHOD_SGD, WAYS),
    ("sgd, one of 8,000 tokens", _LONG, 1, pb.METHOD_SGD, WAYS),
    ("map, short documents", _SHORT, 1, pb.METHOD_MAP, WAYS[2:]),
)


if __name__ == "__main__":
    raise SystemExit(main())
