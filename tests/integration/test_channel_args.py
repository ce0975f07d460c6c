"""What a connection may do: each bound, seen from the other end of it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from paravec_server.rpc import channel_args
from paravec_server.rpc.thread_pool import ElasticThreadPool
from paravec_server.settings import Settings

from .. import http2
from ..http2 import frame, frames
from ..servers import until

PATIENCE = 30.0


class Echo(grpc.GenericRpcHandler):
    """Answers each message with the caller's address, and tells when a call has ended."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def service(self, _: Any) -> Any:
        """Any method."""
        return grpc.stream_stream_rpc_method_handler(self._answer)

    def _answer(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(self.ended.set)
        for _ in messages:
            yield context.peer().encode()


@contextmanager
def echo(**settings: Any) -> Iterator[tuple[int, Echo]]:
    """The port of a server with these settings and the transport's options."""
    handler = Echo()
    options = channel_args.channel_args(Settings(model=Path("m"), **settings))
    server = grpc.server(ElasticThreadPool(8, "test"), handlers=[handler], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port, handler
    finally:
        server.stop(0).wait()


@contextmanager
def raw(port: int) -> Iterator[socket.socket]:
    """A connection that has said what a client of HTTP/2 says first."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(http2.PREFACE + frame(http2.SETTINGS))
        yield connection


def ask(channel: grpc.Channel, **how: Any) -> bytes:
    """The address that a call comes from."""
    stream: Any = channel.stream_stream("/any/Method")
    (answer,) = stream(iter([b""]), timeout=PATIENCE, **how)
    return bytes(answer)


def test_an_old_connection_is_left_and_its_calls_are_finished() -> None:
    """After max_connection_age a channel connects anew; a stream on the old connection goes on."""
    with echo(max_connection_age=1.0) as (port, _), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        go_on = threading.Semaphore(1)

        def messages() -> Iterator[bytes]:
            for _ in range(2):
                assert go_on.acquire(timeout=PATIENCE)
                yield b""

        call: Any = channel.stream_stream("/any/Method")
        stream = call(messages(), timeout=PATIENCE)
        first = next(stream)
        assert ask(channel) == first
        until(lambda: ask(channel) != first, PATIENCE)
        go_on.release()
        assert list(stream) == [first]


def test_a_stream_may_outlast_its_connection_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the grace is over, what is left is cut off."""
    monkeypatch.setattr(channel_args, "_GRACE_SECONDS", 0.3)
    with echo(max_connection_age=1.0) as (port, handler), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        never = threading.Event()

        def messages() -> Iterator[bytes]:
            yield b""
            never.wait(PATIENCE)

        call: Any = channel.stream_stream("/any/Method")
        stream = call(messages(), timeout=PATIENCE)
        assert next(stream)
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        never.set()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert handler.ended.wait(PATIENCE)


def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One without calls; the next call makes another."""
    monkeypatch.setattr(channel_args, "_IDLE_SECONDS", 0.3)
    with echo() as (port, _), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        idle = threading.Event()
        first = ask(channel)

        def see(state: grpc.ChannelConnectivity) -> None:
            if state is grpc.ChannelConnectivity.IDLE:
                idle.set()

        channel.subscribe(see)
        assert idle.wait(PATIENCE)
        assert ask(channel) != first


def test_who_connects_and_says_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that never speaks HTTP/2 is closed."""
    monkeypatch.setattr(channel_args, "_HANDSHAKE_SECONDS", 0.3)
    with echo() as (port, _), socket.create_connection(("127.0.0.1", port), PATIENCE) as silent:
        while silent.recv(4096):
            pass


def test_the_call_of_a_client_that_vanished_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not answer when it is asked whether it is there, though its connection stands."""
    monkeypatch.setattr(channel_args, "_KEEPALIVE_SECONDS", 0.3)
    monkeypatch.setattr(channel_args, "_KEEPALIVE_TIMEOUT_SECONDS", 0.3)
    with echo() as (port, handler), raw(port) as connection:
        connection.sendall(
            frame(http2.HEADERS, http2.request("/any/Method", secure=False), http2.END_HEADERS, stream=1)
        )
        assert handler.ended.wait(PATIENCE)


def test_a_client_that_answers_keeps_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it is silent otherwise."""
    monkeypatch.setattr(channel_args, "_KEEPALIVE_SECONDS", 0.1)
    with echo() as (port, handler), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        go_on = threading.Event()

        def messages() -> Iterator[bytes]:
            go_on.wait(PATIENCE)
            yield b""

        call: Any = channel.stream_stream("/any/Method")
        stream = call(messages(), timeout=PATIENCE)
        assert not handler.ended.wait(1)
        go_on.set()
        assert len(list(stream)) == 1


def test_pings_are_answered_between_calls_but_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who keeps to the interval may go on for ever; who does not is told too_many_pings."""
    monkeypatch.setattr(channel_args, "_PING_INTERVAL_SECONDS", 0.1)
    with echo() as (port, _), raw(port) as connection:
        incoming = frames(connection)
        ping = frame(http2.PING, b"12345678")
        for _ in range(8):
            time.sleep(0.15)  # a client's keepalive
            connection.sendall(ping)
            assert next(kind for kind, *_ in incoming if kind in (http2.PING, http2.GOAWAY)) == http2.PING
        connection.sendall(ping * 5)
        assert any(kind == http2.GOAWAY and b"too_many_pings" in payload for kind, _, _, payload in incoming)


def test_metadata_has_one_bound() -> None:
    """Below it all calls pass; gRPC's own default is to refuse some of them."""
    with echo() as (port, _), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for _ in range(20):
            assert ask(channel, metadata=(("x-much", "a" * 15_000),))
        with pytest.raises(grpc.RpcError) as caught:
            ask(channel, metadata=(("x-much", "a" * 17_000),))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_streams_of_a_connection_have_a_bound() -> None:
    """It is told to the client at the beginning."""
    with echo(max_streams=77) as (port, _), raw(port) as connection:
        settings = next(payload for kind, _, _, payload in frames(connection) if kind == http2.SETTINGS)
    pairs = {
        int.from_bytes(settings[i : i + 2], "big"): int.from_bytes(settings[i + 2 : i + 6], "big")
        for i in range(0, len(settings), 6)
    }
    assert pairs[3] == 77


def test_a_compressed_message_has_the_same_bound() -> None:
    """What it is when unpacked counts, and it is not unpacked beyond that."""
    with echo(max_message_bytes=100_000) as (port, _), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.stream_stream("/any/Method")
        for size, code in ((90_000, None), (200_000_000, grpc.StatusCode.RESOURCE_EXHAUSTED)):
            answers = call(iter([bytes(size)]), timeout=PATIENCE, compression=grpc.Compression.Gzip)
            if code is None:
                assert len(list(answers)) == 1
                continue
            with pytest.raises(grpc.RpcError) as caught:
                list(answers)
            assert caught.value.code() is code
