"""Limits under load: bursts, greedy callers, deadlines and cancelled work."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from paravec.v1 import embedding_pb2 as pb
from paravec_model.artifact import Artifact

from ..calls import details, embed, one_then_wait, refused, stub_of, text, tokens
from ..scrapes import Scrape, address_of
from ..servers import PATIENCE, Server, running, until


@pytest.fixture(scope="module")
def small(artifact: Artifact) -> Iterator[Server]:
    """A server with low limits and metrics."""
    flags = ("--threads", "1", "--max-concurrent-rpcs", "8", "--operations-listen", "127.0.0.1:0")
    with running(artifact.path, *flags) as server:
        yield server


@pytest.fixture
def address(small: Server) -> str:
    """Where its metrics are."""
    return address_of(small)


LONG = embed(*["fire in sydney " * 500] * 60, epochs=1000)
"""Minutes of work."""


def codes(calls: list[Any]) -> Counter[str]:
    """What calls ended with."""
    return Counter(call.code().name for call in calls)


@pytest.mark.parametrize("connections", [1, 4])
def test_a_burst_of_short_texts_is_all_answered(small: Server, address: str, connections: int) -> None:
    """Two thousand calls at once from a stock client are all answered and counted."""
    before = Scrape(address)
    with ExitStack() as stack:
        stubs = [stack.enter_context(stub_of(small.target)) for _ in range(connections)]
        calls = [stubs[n % connections].Embed.future(embed("police fire " * 5), timeout=PATIENCE) for n in range(2000)]
        assert codes(calls) == {"OK": 2000}
    counted = {"method": "Embed", "code": "OK"}
    assert Scrape(address)("paravec_calls_total", **counted) - before("paravec_calls_total", **counted) == 2000


def test_short_texts_are_answered_on_a_busy_server(small: Server, address: str) -> None:
    """While eight connections fill slots and places with batches, a modest client's short texts are all answered."""
    with ExitStack() as stack:
        greedy = [stack.enter_context(stub_of(small.target)) for _ in range(8)]
        calls = [stub.Embed.future(LONG, timeout=PATIENCE) for stub in greedy for _ in range(3)]
        until(lambda: Scrape(address)("paravec_calls_in_flight") >= 8)
        modest = stack.enter_context(stub_of(small.target))
        for _ in range(100):
            assert modest.Embed(embed("fire"), timeout=PATIENCE).embeddings
        assert not any(call.done() and call.code().name == "OK" for call in calls)
        for call in calls:
            call.cancel()


def test_long_batches_share_the_slot_with_other_connections(small: Server, address: str) -> None:
    """With minutes of work queued by one connection, another's batch is answered first, and health is served."""
    with ExitStack() as stack:
        greedy, modest = (stack.enter_context(stub_of(small.target)) for _ in range(2))
        calls = [greedy.Embed.future(LONG, timeout=PATIENCE) for _ in range(3)]
        until(lambda: Scrape(address)("paravec_calls_in_flight") == 3)
        assert len(modest.Embed(embed(*["fire in sydney"] * 20), timeout=PATIENCE).embeddings) == 20
        with grpc.insecure_channel(small.target) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
            assert check.status == health_pb2.HealthCheckResponse.SERVING
        assert not any(call.done() for call in calls)
        for call in calls:
            call.cancel()
    gauges = [f"paravec_{what}" for what in ("calls_in_flight", "message_bytes_in_flight", "work_in_flight_seconds")]
    until(lambda: not any(map(Scrape(address), gauges)))


def test_a_connection_without_calls_always_gets_one(small: Server, address: str) -> None:
    """When one connection has filled all places and is refused more, another still gets its first call."""
    with ExitStack() as stack:
        greedy, modest = (stack.enter_context(stub_of(small.target)) for _ in range(2))
        go = threading.Event()
        streams = [greedy.EmbedStream(one_then_wait(go), timeout=PATIENCE) for _ in range(8)]
        for stream in streams:
            assert next(stream).HasField("embedding")
        with pytest.raises(grpc.RpcError) as beyond:
            next(greedy.EmbedStream(one_then_wait(go), timeout=PATIENCE))
        assert beyond.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(modest.Embed(embed(*["fire"] * 9), timeout=PATIENCE).embeddings) == 9
        go.set()


def test_compressed_messages_count_by_their_unpacked_size(artifact: Artifact) -> None:
    """Of many small messages that unpack to much, most are refused, and other calls are answered."""
    bomb = embed(*["a " * 100_000] * 9)
    flags = ("--threads", "1", "--max-bytes-in-flight", "2000000", "--operations-listen", "127.0.0.1:0")
    with running(artifact.path, *flags) as server:
        with stub_of(server.target) as hold, stub_of(server.target) as modest:
            held = [hold.Embed.future(LONG, timeout=PATIENCE) for _ in range(2)]
            until(lambda: Scrape(address_of(server))("paravec_calls_in_flight") == 2)
            call = hold.Embed
            calls = [call.future(bomb, timeout=PATIENCE, compression=grpc.Compression.Gzip) for _ in range(30)]
            assert modest.Embed(embed("fire"), timeout=PATIENCE).embeddings
            until(lambda: sum(one.done() for one in calls) >= 28)
            ends = Counter(one.code().name for one in calls if one.done())
            assert ends == {"RESOURCE_EXHAUSTED": ends.total()}
            for one in (*held, *calls):
                one.cancel()


def test_a_call_is_refused_after_max_wait_seconds(artifact: Artifact) -> None:
    """A batch that gets no slot within max-wait-seconds is refused with the reason and counted."""
    flags = ("--threads", "1", "--max-wait-seconds", "0.2", "--operations-listen", "127.0.0.1:0")
    with running(artifact.path, *flags) as server, stub_of(server.target) as one:
        held = one.Embed.future(LONG, timeout=PATIENCE)
        until(lambda: Scrape(address_of(server))("paravec_calls_in_flight") == 1)
        with pytest.raises(grpc.RpcError) as late:
            # Of the same caller: another one's call would go first.
            one.Embed(LONG, timeout=PATIENCE)
        assert late.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert late.value.details() == "waited too long for its turn, try again later"
        assert Scrape(address_of(server))("paravec_calls_refused_total", reason="waited_too_long") == 1
        held.cancel()


def test_work_stops_when_the_deadline_has_passed(server: Server, stub: Any) -> None:
    """A call that takes too long gets DEADLINE_EXCEEDED, and does not hold up those after it."""
    heavy = pb.EmbedRequest(documents=[tokens(*["fire"] * 2000)] * 64, options=pb.InferenceOptions(epochs=2000))
    for _ in range(4):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Embed(heavy, timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    # Each of the calls above would keep a thread busy for minutes.
    assert stub.Embed(pb.EmbedRequest(documents=[text("fire")]), timeout=PATIENCE)


def test_calls_beyond_the_limit_are_refused_at_once(artifact: Artifact) -> None:
    """Beyond max_concurrent_rpcs a call gets RESOURCE_EXHAUSTED with a reason and a retry delay, and a short text is
    answered."""
    batch = pb.EmbedRequest(documents=[text("a")] * 9)
    with running(artifact.path, "--max-concurrent-rpcs", "1") as server:
        with stub_of(server.target) as stub:
            hold = threading.Event()
            stream = stub.EmbedStream(one_then_wait(hold))
            assert next(stream).HasField("embedding")
            error = refused(stub, batch)
            assert stub.Embed(pb.EmbedRequest(documents=[text("a")]), timeout=PATIENCE)
            hold.set()
            assert list(stream) == []
            assert stub.Embed(batch, timeout=PATIENCE)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = details(error, error_details_pb2.ErrorInfo)
    assert (reason.reason, reason.domain) == ("OVERLOADED", "paravec")
    assert details(error, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() > 0


def test_refusals_do_not_delay_a_short_text(small: Server, address: str) -> None:
    """Calls beyond the limit are refused a few at a time, and another client's text is answered beside them."""
    with ExitStack() as stack:
        *greedy, modest = (stack.enter_context(stub_of(small.target)) for _ in range(3))
        held = [stub.Embed.future(LONG, timeout=PATIENCE) for stub in greedy for _ in range(4)]
        until(lambda: Scrape(address)("paravec_calls_in_flight") == 8)
        began = time.monotonic()
        beyond = [stub.Embed.future(embed(*["fire"] * 9), timeout=PATIENCE) for stub in greedy for _ in range(45)]
        assert modest.Embed(embed("fire"), timeout=PATIENCE).embeddings
        assert codes(beyond) == {"RESOURCE_EXHAUSTED": 90}
        # At most a thousand a second, sixteen at a time.
        assert time.monotonic() - began > 0.07
        for call in held:
            call.cancel()


def test_hundreds_of_batches_wait_without_threads(artifact: Artifact) -> None:
    """600 batches at once from one client are all answered, with no thread for each, and their order is fair: another
    client's batch is answered before them."""
    batch = embed(*["fire and water"] * 64, epochs=400)
    with running(artifact.path, "--threads", "1", "--max-streams", "1000", "--max-work-in-flight", "1000") as server:
        with stub_of(server.target) as many, stub_of(server.target) as one:
            # Connect, and make the random tables.
            assert one.Embed(batch, timeout=PATIENCE)
            calls = [many.Embed.future(batch, timeout=PATIENCE) for _ in range(600)]
            assert calls[0].result()
            threads = len(list(Path(f"/proc/{server.process.pid}/task").iterdir()))
            assert one.Embed(batch, timeout=PATIENCE)
            waiting = sum(not call.done() for call in calls)
            assert all(len(call.result().embeddings) == 64 for call in calls)
    assert threads < 64
    assert waiting > 100


def test_streams_beyond_their_limit_are_refused(artifact: Artifact) -> None:
    """A stream more than `max_streams_in_flight` is refused and counted; batches are answered meanwhile."""
    with running(artifact.path, "--max-streams-in-flight", "1", "--operations-listen", "127.0.0.1:0") as server:
        with stub_of(server.target) as stub:
            hold = threading.Event()
            stream = stub.EmbedStream(one_then_wait(hold))
            assert next(stream).HasField("embedding")
            with pytest.raises(grpc.RpcError, match="too many streams") as raised:
                next(stub.EmbedStream(one_then_wait(hold)))
            assert stub.Embed(embed(*["a"] * 9), timeout=PATIENCE)
            told = Scrape(address_of(server))
            hold.set()
            assert list(stream) == []
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert told("paravec_calls_refused_total", reason="too_many_streams") == 1
    assert told("paravec_streams_in_flight") == told("paravec_streams_in_flight_limit") == 1


def test_a_cancelled_stream_stops_its_work_and_frees_its_place(artifact: Artifact) -> None:
    """A stream that its caller cancels leaves no work, no place taken, and no error in the log."""
    heavy = pb.EmbedStreamRequest(document=tokens(*["fire"] * 2000), options=pb.InferenceOptions(epochs=1000))
    with running(artifact.path, "--max-concurrent-rpcs", "1", "--threads", "1") as server:
        with stub_of(server.target) as stub:
            for _ in range(5):
                stream = stub.EmbedStream(iter([pb.EmbedStreamRequest(document=text("fire"))] + [heavy] * 200))
                assert next(stream).HasField("embedding")
                stream.cancel()
                # The one place and the one thread are free again long before that work could be done.
                until(lambda: is_admitted(stub))
        assert server.stop() == 0
        assert "internal error" not in server.log
        assert "Traceback" not in server.log


def is_admitted(stub: Any) -> bool:
    """Whether a batch is answered; else it is refused."""
    try:
        return bool(stub.Embed(embed(*["a"] * 9), timeout=PATIENCE).embeddings)
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        return False


def test_a_short_text_does_not_wait_for_long_ones(artifact: Artifact) -> None:
    """It is answered at once while the only slot to compute in is taken, and by the same vector as ever."""
    heavy = pb.EmbedRequest(documents=[tokens(*["fire"] * 2000)] * 200, options=pb.InferenceOptions(epochs=1000))
    short = pb.EmbedRequest(documents=[text("fire in sydney")])
    with running(artifact.path, "--threads", "1") as server, stub_of(server.target) as stub:
        alone = stub.Embed(short)
        working = stub.Embed.future(heavy)
        # It has the turn by then; nothing tells from outside.
        time.sleep(0.5)
        assert stub.Embed(short, timeout=PATIENCE) == alone
        assert not working.done()
        working.cancel()
