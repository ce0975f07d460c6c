"""Fuzzes a live server: no request may cause INTERNAL, UNKNOWN or UNAVAILABLE, or end the server.

    python benchmarks/fuzz.py --model build/models/lee                 # 100,000, about two minutes
    python benchmarks/fuzz.py --model build/models/lee --requests 2000

Half of the requests are valid messages with random fields and values, half are such messages with bytes changed,
removed, repeated or inserted. Most are sent in streams, where each gets a response; the rest are unary calls.
"""

import argparse
import collections
import random
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.servers import running

from benchmarks.machine import write_results
from paravec.v1 import embedding_pb2 as pb

_SERVICE = "/paravec.v1.EmbeddingService"
_CALLS: Sequence[tuple[str, type[Message]]] = (
    (f"{_SERVICE}/Embed", pb.EmbedRequest),
    (f"{_SERVICE}/FindSimilar", pb.FindSimilarRequest),
    (f"{_SERVICE}/GetModel", pb.GetModelRequest),
    ("/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest),
)
_LIMITS = ("--max-epochs", "50", "--max-tokens", "500", "--max-documents", "16")
_FAULTS = ("INTERNAL", "UNKNOWN", "UNAVAILABLE")
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
_WORDS = ("fire", "sydney", "the", "", " ", "\0", "🔥", "نار", "e\u0301" * 9, "x" * 999, "a " * 501, "\u202e", "\uffff")
_FLOATS = (0.0, -0.0, 0.025, 1.0, -1.0, 1e-45, 3e38, float("inf"), float("-inf"), float("nan"))
_INTEGERS = (0, 1, 5, 50, 51, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1)
# Requests per stream.
_STREAM = 500


class Fuzz:
    """Sends random requests, and counts their statuses."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.ended: collections.Counter[str] = collections.Counter()

    def stream(self, channel: grpc.Channel) -> None:
        """A stream of requests, each of which must get a response."""
        call: Any = channel.stream_stream(f"{_SERVICE}/EmbedStream")
        answers = 0
        for data in call(iter([self._data(pb.EmbedStreamRequest) for _ in range(_STREAM)]), timeout=120):
            answers += 1
            answer = pb.EmbedStreamResponse.FromString(data)
            self.ended[f"stream {_NAMES[answer.error.code]}"] += 1
        assert answers == _STREAM, f"{answers} responses to {_STREAM} requests"

    def call(self, channel: grpc.Channel) -> None:
        """One call of a random method."""
        name, kind = self._chance.choice(_CALLS)
        method: Any = channel.unary_unary(name)
        code = "OK"
        try:
            method(self._data(kind), timeout=120)
        except grpc.RpcError as error:
            code = error.code().name
        self.ended[f"{name.rpartition('/')[2]} {code}"] += 1

    def _data(self, kind: type[Message]) -> bytes:
        data: bytes = self._message(kind.DESCRIPTOR, kind()).SerializeToString()
        return data if self._chance.random() < 0.5 else self._mutated(data)

    def _message(self, descriptor: Any, message: Any) -> Any:
        for field in descriptor.fields:
            if self._chance.random() < 0.45:
                continue
            if field.is_repeated:
                count = self._chance.choice((0, 1, 1, 2, 5, 17, 40))
                items = getattr(message, field.name)
                for _ in range(count):
                    if field.message_type:
                        self._message(field.message_type, items.add())
                    else:
                        items.append(self._value(field))
            elif field.message_type:
                self._message(field.message_type, getattr(message, field.name)).SetInParent()
            else:
                setattr(message, field.name, self._value(field))
        return message

    def _value(self, field: FieldDescriptor) -> Any:
        chance, kind = self._chance, field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_STRING:
            return " ".join(chance.choices(_WORDS, k=chance.randint(0, 8)))
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return chance.random() < 0.5
        if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
            return chance.choice((*_FLOATS, chance.random()))
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return chance.choice((0, 1, 2, 3, 99, 2**31 - 1, -1))
        most = {FieldDescriptor.CPPTYPE_UINT64: 2**64 - 1, FieldDescriptor.CPPTYPE_UINT32: 2**32 - 1}.get(
            kind, 2**31 - 1
        )
        return min(chance.choice((*_INTEGERS, chance.randrange(60))), most)

    def _mutated(self, data: bytes) -> bytes:
        chance, changed = self._chance, bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.randrange(len(changed) + 1)
            match chance.randrange(5):
                case 0:
                    changed[at : at + 1] = bytes([chance.randrange(256)])
                case 1:
                    del changed[at : at + chance.randint(1, 9)]
                case 2:
                    changed[at:at] = chance.randbytes(chance.randint(1, 9))
                case 3:
                    changed[at:at] = changed[: chance.randint(0, 99)]
                case _:
                    changed[at:at] = b"\xff\xff\xff\xff\x0f"
        return bytes(changed)


def main() -> int:
    """Fuzz, count and print. Returns 1 if the server had a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="artifact to serve")
    parser.add_argument("--requests", type=int, default=100_000, help="minimum of requests [%(default)s]")
    parser.add_argument("--seed", type=int, default=1, help="of the random generator [%(default)s]")
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    arguments = parser.parse_args()
    began = time.perf_counter()
    ended: collections.Counter[str] = collections.Counter()
    broken: list[str] = []
    with running(arguments.model, *_LIMITS) as server:

        def work(number: int) -> None:
            fuzz = Fuzz(arguments.seed * 1000 + number)
            try:
                with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                    while sum(fuzz.ended.values()) < arguments.requests / 4:
                        fuzz.stream(channel)
                        for _ in range(_STREAM // 4):
                            fuzz.call(channel)
            except (grpc.RpcError, AssertionError) as error:
                broken.append(f"{type(error).__name__}: {error}")
            ended.update(fuzz.ended)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        code = server.stop()
    faults = [name for name in ended if name.split()[1] in _FAULTS] + broken
    faults += [line.strip() for line in server.lines if "internal error" in line or "Traceback" in line]
    for name, count in sorted(ended.items()):
        print(f"{name:32}{count:9,}")
    total, seconds = sum(ended.values()), time.perf_counter() - began
    print(f"{total:,} requests in {seconds:.0f} s; exit code {code}; faults: {len(faults)}")
    for fault in faults[:10]:
        print(f"    {fault[:300]}")
    write_results(arguments.json, requests=total, ended=dict(ended), faults=faults)
    return int(bool(faults) or code != 0)


if __name__ == "__main__":
    sys.exit(main())
