"""The channels of a client, and what calls on them carry."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock, Thread
from typing import Any

import grpc

from .._protocol.programs import METHODS, SERVICE, Call, Method
from ..config import ClientConfig
from ..errors import CancelledError, ConfigError, ForkedError, ParavecError, from_call
from . import proxy
from .channel_args import channel_options
from .credentials import Authorization, channel_opener
from .forks import FORKS

# Seconds that a channel may take to close.
_CLOSING = 5.0


def configured(target: str | None, timeout: float | None, config: ClientConfig | None) -> ClientConfig:
    """The configuration, or without one the environment's, with what a client's constructor was given before it."""
    if not isinstance(config, ClientConfig | None):
        raise ConfigError(f"config: must be a ClientConfig, not {type(config).__name__}")
    given = {"target": target, "timeout": timeout}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(config, **changes) if config else ClientConfig.from_environment(**changes)


class Connection:
    """Two channels to the server: one calls only servers that are ready, and one asks whether they are.

    They are made at the first call, and again at the first after a fork, or in another event loop.
    """

    def __init__(self, config: ClientConfig, library: Any, channel: Any, interceptors: Sequence[Any]) -> None:
        """`library` is grpc or grpc.aio; `channel` the caller's own, if there is one."""
        self._config, self._library, self._given = config, library, channel
        self._interceptors = _checked(interceptors, channel, library)
        self._authorization = Authorization(config)
        self._proxy = proxy.find_proxy(config) if channel is None else None
        self._open = channel_opener(config, library)
        self._channels: list[Any] = []
        self._methods: Mapping[Method, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connecting = Lock()
        self.closed = False
        """There are no more calls."""
        if not FORKS.usable:
            raise ForkedError
        if library is grpc:
            FORKS.add(self)

    def begin(self, call: Call, *, future: bool = False) -> Any:
        """Call a method, with the token in its metadata; CancelledError if the client is closed."""
        method = self._method(call.method)
        request = iter(call.request) if call.method.streams else call.request
        metadata = self._authorization.metadata(call.metadata)
        return (method.future if future else method)(request, timeout=call.timeout, metadata=metadata)

    def failure(self, error: grpc.RpcError, call: Call) -> ParavecError:
        """The error for a failed call. It names the proxy in between, and the id by which the server knows the call."""
        request_id = next((value for key, value in call.metadata if key == "x-request-id"), "")
        failure = from_call(error, request_id=str(request_id))
        if self._proxy and failure.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
            failure.args = (f"{failure} (by {self._proxy})",)
        return failure

    def suspend(self) -> None:
        """Be without channels until the next call."""
        channels, self._channels = self._channels, []
        if self._given is None:
            self._methods = {}
        for channel in channels:
            close_channel(channel)

    def close(self) -> list[Any]:
        """The channels that are to be closed; there are no more calls."""
        self.closed = True
        channels, self._channels = self._channels, []
        return channels if FORKS.usable else []

    def _method(self, method: Method) -> Any:
        if not FORKS.usable:
            raise ForkedError
        if self.closed:
            raise CancelledError("the client is closed", code="CANCELLED")
        if self._library is not grpc:
            self._enter_loop()
        if not self._methods:
            with self._connecting:
                self._methods = self._methods or self._connect()
        return self._methods[method]

    def _enter_loop(self) -> None:
        """A channel of grpc.aio belongs to the event loop that runs when it is made."""
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._loop and not (self._loop.is_closed() and self._given is None):
            raise ConfigError("the client belongs to another event loop: make one for each loop")
        # What the loop before has left can no longer be closed in it.
        self._loop, self._channels, self._methods = loop, [], {}

    def _connect(self) -> Mapping[Method, Any]:
        ready = self._given or self._opened(SERVICE if self._config.health_checks else None)
        anyone = ready
        if self._given is None and self._config.health_checks:
            anyone = self._opened(None)
        if self._library is grpc and self._interceptors:
            ready, anyone = (grpc.intercept_channel(channel, *self._interceptors) for channel in (ready, anyone))
        methods = {}
        for method in METHODS:
            channel = anyone if method.any_server else ready
            begin = channel.stream_stream if method.streams else channel.unary_unary
            methods[method] = begin(method.path, method.write, method.read)
        return methods

    def _opened(self, healthy_service: str | None) -> Any:
        more = {} if self._library is grpc else {"interceptors": list(self._interceptors)}
        options = [*channel_options(self._config, healthy_service), *proxy.channel_options(self._proxy, self._config)]
        channel = self._open(options=options, **more)
        self._channels.append(channel)
        return channel


def _checked(interceptors: Sequence[Any], channel: Any, library: Any) -> Sequence[Any]:
    """The interceptors; ConfigError for what cannot be used."""
    if not isinstance(interceptors, Sequence):
        raise ConfigError(f"interceptors: must be a list, not {type(interceptors).__name__}")
    if channel is not None and interceptors and library is not grpc:
        raise ConfigError("interceptors: a channel of grpc.aio is made with its own")
    return interceptors


def close_channel(channel: grpc.Channel) -> None:
    """Close a channel, and wait for that some seconds at most.

    If Ctrl-C broke off the start of a call just before grpcio has a thread that hears of its end, the channel's `close`
    waits for that end for ever.
    """
    closing = Thread(target=channel.close, name="paravec-close", daemon=True)
    closing.start()
    closing.join(_CLOSING)
