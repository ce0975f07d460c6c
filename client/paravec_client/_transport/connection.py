"""The channels of a client, and the metadata of calls on them."""

import asyncio
from collections.abc import Mapping, Sequence
from threading import Lock, Thread
from typing import Any

import grpc

from .._protocol.calls import METHODS, SERVICE, Call, RpcMethod
from ..config import ClientConfig
from ..errors import CancelledError, ConfigError, ForkedError, ParavecError, from_rpc_error
from . import proxy
from .channel_args import channel_options
from .credentials import Authorization, channel_factory
from .forks import fork_registry

# How long `close` waits for a channel to close.
_CLOSE_SECONDS = 5.0


class Connection:
    """Two channels to the server: one calls only servers that are ready, the other checks health on any server.

    They are opened at the first call, and again at the first call after a fork or in another event loop.
    """

    def __init__(self, config: ClientConfig, library: Any, channel: Any, interceptors: Sequence[Any]) -> None:
        """`library` is grpc or grpc.aio; `channel` is the caller's own channel or None."""
        _check_interceptors(interceptors, channel, library)
        self._config, self._library, self._callers_channel = config, library, channel
        self._interceptors = interceptors
        self._authorization = Authorization(config)
        self._proxy = proxy.find_proxy(config) if channel is None else None
        self._new_channel = channel_factory(config, library)
        self._channels: list[Any] = []
        self._methods: Mapping[RpcMethod, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open_lock = Lock()
        self.closed = False
        """Whether the client is closed; further calls fail."""
        if not fork_registry.usable:
            raise ForkedError
        if library is grpc:
            fork_registry.add(self)

    def begin(self, call: Call, *, future: bool = False) -> Any:
        """Start a call, with the token in its metadata; CancelledError if the client is closed."""
        method = self._method(call.method)
        request = iter(call.request) if call.method.streaming else call.request
        metadata = self._authorization.metadata(call.metadata)
        return (method.future if future else method)(request, timeout=call.timeout, metadata=metadata)

    def failure(self, error: grpc.RpcError, call: Call) -> ParavecError:
        """The client's error for a failed call, with the proxy in its text and the id of the caller's x-request-id."""
        request_id = next((value for key, value in call.metadata if key == "x-request-id"), "")
        failure = from_rpc_error(error, request_id=str(request_id))
        if self._proxy and failure.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
            failure.args = (f"{failure} (through {self._proxy})",)
        return failure

    def suspend(self) -> None:
        """Close the channels until the next call."""
        channels, self._channels = self._channels, []
        if self._callers_channel is None:
            self._methods = {}
        for channel in channels:
            close_channel(channel)

    def close(self) -> list[Any]:
        """Reject further calls. Returns the channels, for the caller to close."""
        self.closed = True
        channels, self._channels = self._channels, []
        return channels if fork_registry.usable else []

    def _method(self, method: RpcMethod) -> Any:
        if not fork_registry.usable:
            raise ForkedError
        if self.closed:
            raise CancelledError("the client is closed", code="CANCELLED")
        if self._library is not grpc:
            self._enter_loop()
        if not self._methods:
            with self._open_lock:
                self._methods = self._methods or self._open()
        return self._methods[method]

    def _enter_loop(self) -> None:
        """Drop channels of an earlier event loop: a channel of grpc.aio belongs to the loop in which it is made."""
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._loop and not (self._loop.is_closed() and self._callers_channel is None):
            raise ConfigError("the client belongs to another event loop: make one for each loop")
        # The channels cannot be closed, because their loop is.
        self._loop, self._channels, self._methods = loop, [], {}

    def _open(self) -> Mapping[RpcMethod, Any]:
        ready = self._callers_channel or self._open_channel(SERVICE if self._config.health_checks else None)
        any_server = ready
        if self._callers_channel is None and self._config.health_checks:
            any_server = self._open_channel(None)
        if self._library is grpc and self._interceptors:
            ready, any_server = (
                grpc.intercept_channel(channel, *self._interceptors) for channel in (ready, any_server)
            )
        methods = {}
        for method in METHODS:
            channel = any_server if method.any_server else ready
            callable_of = channel.stream_stream if method.streaming else channel.unary_unary
            methods[method] = callable_of(method.path, method.serialize, method.deserialize)
        return methods

    def _open_channel(self, healthy_service: str | None) -> Any:
        arguments = {} if self._library is grpc else {"interceptors": list(self._interceptors)}
        options = [*channel_options(self._config, healthy_service), *proxy.channel_options(self._proxy, self._config)]
        channel = self._new_channel(options=options, **arguments)
        self._channels.append(channel)
        return channel


def _check_interceptors(interceptors: Sequence[Any], channel: Any, library: Any) -> None:
    if not isinstance(interceptors, Sequence):
        raise ConfigError(f"interceptors: must be a list, not {type(interceptors).__name__}")
    if channel is not None and interceptors and library is not grpc:
        raise ConfigError("interceptors: give them to your grpc.aio channel when you make it, not to the client")


def close_channel(channel: grpc.Channel) -> None:
    """Close a channel, but wait at most `_CLOSE_SECONDS`.

    grpcio's `close` waits for its calls to end. It blocks forever if Ctrl-C interrupted the start of a call before
    grpcio had a thread that receives the call's end.
    """
    closing = Thread(target=channel.close, name="paravec-close", daemon=True)
    closing.start()
    closing.join(_CLOSE_SECONDS)
