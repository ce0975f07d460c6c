"""The channels of a client, and what calls on them carry."""

import os
from collections.abc import Sequence
from dataclasses import replace
from threading import Thread
from typing import Any

import grpc

from .config import ClientConfig
from .core import METHODS, SERVICE, Method
from .errors import CancelledError, ConfigError, ForkedError
from .policy import channel_options
from .security import Authorization, Metadata, channel_opener

# gRPC runs its own threads from its first channel on. They are not in a fork of the process, where calls would wait for
# them in vain; unless gRPC was told, by GRPC_ENABLE_FORK_SUPPORT, to begin anew there.
_first_process: int | None = None

# Seconds that a channel may take to close.
_CLOSING = 5.0


def configured(target: str | None, timeout: float | None, config: ClientConfig | None) -> ClientConfig:
    """The configuration with what the caller of a client's constructor put before it."""
    changes: dict[str, Any] = {"target": target, "timeout": timeout}
    return replace(config or ClientConfig(), **{name: value for name, value in changes.items() if value is not None})


class Connection:
    """Two channels to the server: one calls only servers that are ready, and one asks whether they are."""

    def __init__(self, config: ClientConfig, library: Any, channel: Any, interceptors: Sequence[Any]) -> None:
        """`library` is grpc or grpc.aio; `channel` the caller's own, if there is one."""
        global _first_process
        _first_process = _first_process or os.getpid()
        self._process = os.getpid()
        if self._process != _first_process and not _outlives_forks():
            raise ForkedError
        self._config, self._library, self._given, self._interceptors = config, library, channel, interceptors
        self._authorization = Authorization(config)
        self._open = channel_opener(config, library)
        self._channels: list[Any] = []
        self._methods: dict[Method, Any] = {}
        self.closed = False
        """There are no more calls."""
        if channel is not None and interceptors and library is not grpc:
            raise ConfigError("interceptors: a channel of grpc.aio is made with its own")
        if library is grpc:
            self._connect()

    def method(self, method: Method) -> tuple[Any, Metadata]:
        """What calls a method, and the metadata for a call; CancelledError if the client is closed."""
        if self._process != os.getpid():
            raise ForkedError
        if self.closed:
            raise CancelledError("the client is closed", code="CANCELLED")
        if not self._methods:
            # A channel of grpc.aio belongs to the event loop that runs when it is made.
            self._connect()
        return self._methods[method], self._authorization.metadata()

    def close(self) -> list[Any]:
        """The channels that are to be closed; there are no more calls. In a forked process they are not its own."""
        self.closed = True
        channels, self._channels = self._channels, []
        return channels if self._process == os.getpid() else []

    def _connect(self) -> None:
        ready = self._given or self._opened(SERVICE if self._config.health_checks else None)
        anyone = ready
        if self._given is None and self._config.health_checks:
            anyone = self._opened(None)
        if self._library is grpc and self._interceptors:
            ready, anyone = (grpc.intercept_channel(channel, *self._interceptors) for channel in (ready, anyone))
        for method in METHODS:
            channel = anyone if method.any_server else ready
            begin = channel.stream_stream if method.streams else channel.unary_unary
            self._methods[method] = begin(method.path, method.write, method.read)

    def _opened(self, healthy_service: str | None) -> Any:
        more = {} if self._library is grpc else {"interceptors": list(self._interceptors)}
        channel = self._open(options=channel_options(self._config, healthy_service), **more)
        self._channels.append(channel)
        return channel


def _outlives_forks() -> bool:
    return os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in ("1", "yes", "true", "t", "y")


def close_channel(channel: grpc.Channel) -> None:
    """Close a channel, and wait for that some seconds at most.

    If Ctrl-C broke off the start of a call just before grpcio has a thread that hears of its end, the channel's `close`
    waits for that end for ever.
    """
    closing = Thread(target=channel.close, name="paravec-close", daemon=True)
    closing.start()
    closing.join(_CLOSING)
