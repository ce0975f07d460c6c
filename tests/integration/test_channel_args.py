"""Each limit of a connection, seen by the client."""

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
    """A TCP connection with the HTTP/2 preface and settings sent."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(http2.PREFACE + frame(http2.SETTINGS))
        yield connection


def ask(channel: grpc.Channel, **how: Any) -> bytes:
    """The client address of a call, which identifies its connection."""
    stream: Any = channel.stream_stream("/any/Method")
    (answer,) = stream(iter([b""]), timeout=PATIENCE, **how)
    return bytes(answer)


def test_max_connection_age_reconnects_and_finishes_calls() -> None:
    """After max_connection_age the channel reconnects, and a stream on the old connection goes on."""
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


def test_a_stream_is_cut_off_after_the_connection_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream still open after the grace period ends."""
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


def test_a_connection_without_a_handshake_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that never speaks HTTP/2 is closed."""
    monkeypatch.setattr(channel_args, "_HANDSHAKE_SECONDS", 0.3)
    with echo() as (port, _), socket.create_connection(("127.0.0.1", port), PATIENCE) as silent:
        while silent.recv(4096):
            pass


def test_a_client_that_does_not_answer_keepalive_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call of a client that answers no keepalive ping is ended although its TCP connection stands."""
    monkeypatch.setattr(channel_args, "_KEEPALIVE_SECONDS", 0.3)
    monkeypatch.setattr(channel_args, "_KEEPALIVE_TIMEOUT_SECONDS", 0.3)
    with echo() as (port, handler), raw(port) as connection:
        connection.sendall(
            frame(http2.HEADERS, http2.request("/any/Method", secure=False), http2.END_HEADERS, stream=1)
        )
        assert handler.ended.wait(PATIENCE)


def test_a_silent_client_that_answers_keepalive_keeps_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that answers pings keeps its call however long it sends nothing."""
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


def test_too_frequent_pings_get_too_many_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that keeps to the ping interval is served for ever; a faster one gets too_many_pings."""
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


def test_metadata_has_a_single_limit() -> None:
    """Metadata below the limit always passes, where gRPC's default refuses some of it."""
    with echo() as (port, _), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for _ in range(20):
            assert ask(channel, metadata=(("x-much", "a" * 15_000),))
        with pytest.raises(grpc.RpcError) as caught:
            ask(channel, metadata=(("x-much", "a" * 17_000),))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_concurrent_streams_are_limited() -> None:
    """The server announces its limit of concurrent streams in its settings."""
    with echo(max_streams=77) as (port, _), raw(port) as connection:
        settings = next(payload for kind, _, _, payload in frames(connection) if kind == http2.SETTINGS)
    pairs = {
        int.from_bytes(settings[i : i + 2], "big"): int.from_bytes(settings[i + 2 : i + 6], "big")
        for i in range(0, len(settings), 6)
    }
    assert pairs[3] == 77


def test_a_compressed_message_is_limited_by_its_unpacked_size() -> None:
    """The message limit holds for the unpacked size, and unpacking stops there."""
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
