"""`ClientConfig` and its groups of settings. Each checks its values when it is made."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf
from numbers import Integral, Real
from os import PathLike
from types import NoneType
from typing import Any, Self

from ..errors import ConfigError
from .environment import read_fields
from .target import parse_target

File = str | PathLike[str]


def _check(valid: bool, name: str, expected: str, value: object) -> None:
    if not valid:
        raise ConfigError(f"{name}: must be {expected}, not {value!r}")


def _check_number(value: Any, name: str, minimum: float, *, exclusive: bool = False, integer: bool = False) -> None:
    """ConfigError unless `value` is a finite number of at least `minimum`, or above it if `exclusive`."""
    bound = f"{'more than' if exclusive else 'at least'} {minimum:g}"
    kind = "a whole number" if integer else "a number"
    valid = isinstance(value, Integral if integer else Real) and not isinstance(value, bool) and value != inf
    _check(valid, name, f"{kind}, {bound}", value)
    _check(value > minimum if exclusive else value >= minimum, name, bound, value)


def _check_type(value: Any, name: str, expected: str, *types: type) -> None:
    """ConfigError unless `value` is an instance of one of `types`."""
    _check(isinstance(value, types), name, expected, value)


@dataclass(frozen=True)
class Tls:
    """TLS to the server. The files are in PEM format and are read when a client is made.

    Attributes:
        ca: Certificates of the authorities to trust; None for gRPC's own list.
        cert: Client certificate, for a server that requires one.
        key: Private key of `cert`.
        server_name: Name that the server's certificate must have; None for the target's host name.
    """

    ca: File | None = None
    cert: File | None = None
    key: File | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        """ConfigError for an invalid value."""
        for name in ("ca", "cert", "key"):
            _check_type(getattr(self, name), f"tls.{name}", "a path or None", str, PathLike, NoneType)
        _check_type(self.server_name, "tls.server_name", "a name or None", str, NoneType)


@dataclass(frozen=True)
class Retry:
    """How calls are retried, with exponential backoff.

    Attributes:
        total_backoff: Seconds of backoff, in all, before a call fails; a server restarts in less than the default. 0
            turns retries off, also for streams.
        initial_backoff: Seconds before the first retry. Each backoff is twice the one before, times a random jitter of
            0.5 to 1.5.
        max_backoff: Longest backoff in seconds, before jitter.
        budget: Size of the client's retry budget. A retry of any call takes 1 from it, a successful call returns 1.
    """

    total_backoff: float = 4.0
    initial_backoff: float = 0.05
    max_backoff: float = 1.0
    budget: int = 500

    def __post_init__(self) -> None:
        """ConfigError for an invalid value."""
        _check_number(self.total_backoff, "retry.total_backoff", 0)
        _check_number(self.initial_backoff, "retry.initial_backoff", 0, exclusive=True)
        _check_number(self.max_backoff, "retry.max_backoff", 0, exclusive=True)
        _check_number(self.budget, "retry.budget", 0, integer=True)


@dataclass(frozen=True)
class Keepalive:
    """How the client detects a lost connection.

    Attributes:
        time: Seconds without received data after which gRPC sends a keepalive ping, at least 5: the server allows one
            ping every 5 seconds.
        timeout: Seconds to wait for the answer to a ping, and for TCP to acknowledge sent data.
    """

    time: float = 10.0
    timeout: float = 5.0

    def __post_init__(self) -> None:
        """ConfigError for an invalid value."""
        _check_number(self.time, "keepalive.time", 5)
        _check_number(self.timeout, "keepalive.timeout", 0, exclusive=True)


@dataclass(frozen=True)
class Batch:
    """How a list or stream of documents is split into calls.

    Attributes:
        documents: Most documents in a call; the server's limit applies if it is lower.
        bytes: Most bytes of documents in a call. A single larger document is a call of its own.
        in_flight: Concurrent calls for one list or stream.
    """

    documents: int = 256
    bytes: int = 2**18
    in_flight: int = 3

    def __post_init__(self) -> None:
        """ConfigError for an invalid value."""
        for item in fields(self):
            _check_number(getattr(self, item.name), f"batch.{item.name}", 1, integer=True)


@dataclass(frozen=True)
class ClientConfig:
    """How a client talks to its server.

    Attributes:
        target: The server's address in gRPC's syntax: host:port, dns:///name:port, unix:/path.
        timeout: Seconds for a call with all its retries; in a stream, for one attempt at a batch.
        stream_timeout: Seconds for a whole stream, from its first document to its last vector; None for no limit.
        tls: Tls() or Tls(ca="ca.pem") for TLS; None for plain text.
        token: Bearer token that calls carry.
        token_file: File with the bearer token, read again when it changes.
        insecure_token: Send the token in plain text to other machines too. For networks that encrypt by other means,
            such as a service mesh.
        use_proxy: Connect through the proxy in grpc_proxy, https_proxy or http_proxy, unless no_proxy lists the server.
            Servers on this machine are always called directly.
        retry: How calls are retried.
        keepalive: How a lost connection is detected.
        batch: How lists and streams are split into calls.
        health_checks: Watch the health of each server and call only those that are ready. Costs one small stream per
            server.
    """

    target: str = "localhost:50051"
    timeout: float = 30.0
    stream_timeout: float | None = None
    tls: Tls | None = None
    token: str | None = field(default=None, repr=False)
    token_file: File | None = None
    insecure_token: bool = False
    use_proxy: bool = True
    retry: Retry = Retry()
    keepalive: Keepalive = Keepalive()
    batch: Batch = Batch()
    health_checks: bool = True

    def __post_init__(self) -> None:
        """ConfigError for an invalid value."""
        _check_type(self.target, "target", "host:port", str)
        parse_target(self.target)
        _check_number(self.timeout, "timeout", 0, exclusive=True)
        if self.stream_timeout is not None:
            _check_number(self.stream_timeout, "stream_timeout", 0, exclusive=True)
        _check_type(self.tls, "tls", "Tls(...) or None", Tls, NoneType)
        if not isinstance(self.token, str | None):
            # The value may be the secret, so the message shows only its type.
            raise ConfigError(f"token: must be a str or None, not of the type {type(self.token).__name__}")
        _check_type(self.token_file, "token_file", "a path or None", str, PathLike, NoneType)
        for name in ("insecure_token", "use_proxy", "health_checks"):
            _check_type(getattr(self, name), name, "True or False", bool)
        for name, group in (("retry", Retry), ("keepalive", Keepalive), ("batch", Batch)):
            _check_type(getattr(self, name), name, f"{group.__name__}(...)", group)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """A configuration from environment variables; keyword arguments override them.

        A field is read from `PARAVEC_` and its name, e.g. `PARAVEC_TARGET`; a field of a group from both names, e.g.
        `PARAVEC_TLS_CA` or `PARAVEC_BATCH_IN_FLIGHT`. `PARAVEC_TLS=yes` is TLS with gRPC's own authorities. An empty
        variable counts as unset. ConfigError names an invalid variable. `environment` is `os.environ` by default.
        """
        # `os.environ` as default argument would appear in help(), with PARAVEC_TOKEN.
        values = read_fields(cls, "PARAVEC", os.environ if environment is None else environment)
        return cls(**values | overrides)


def resolve_config(target: str | None, timeout: float | None, config: ClientConfig | None) -> ClientConfig:
    """`config`, by default that of the environment, with `target` and `timeout` in place of its own if given."""
    if not isinstance(config, ClientConfig | None):
        raise ConfigError(f"config: must be a ClientConfig, not {type(config).__name__}")
    given = {"target": target, "timeout": timeout}
    overrides: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(config, **overrides) if config else ClientConfig.from_environment(**overrides)
