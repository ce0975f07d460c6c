"""How a client is configured: in code, from the environment, or as a changed copy (`dataclasses.replace`)."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from math import inf
from numbers import Integral, Real
from os import PathLike
from types import NoneType
from typing import Any, Self

from .errors import ConfigError
from .target import read_target

File = str | PathLike[str]


def _check(good: bool, name: str, wanted: str, value: object) -> None:
    if not good:
        raise ConfigError(f"{name}: must be {wanted}, not {value!r}")


def _check_number(value: Any, name: str, least: float, *, more: bool = False, whole: bool = False) -> None:
    """ConfigError unless a value is a finite number, at least `least`, or `more` than that."""
    bound = f"{'more than' if more else 'at least'} {least:g}"
    kind = "a whole number" if whole else "a number"
    good = isinstance(value, Integral if whole else Real) and not isinstance(value, bool) and value != inf
    _check(good, name, f"{kind}, {bound}", value)
    _check(value > least if more else value >= least, name, bound, value)


def _check_kind(value: Any, name: str, wanted: str, *kinds: type) -> None:
    """ConfigError unless a value is of one of some kinds."""
    _check(isinstance(value, kinds), name, wanted, value)


@dataclass(frozen=True)
class Tls:
    """TLS, and whom to trust. The files are PEM, and are read when a client is made.

    Attributes:
        ca: Certificates of authorities that the server's certificate may go back to; None for those that gRPC brings.
        cert: The client's own certificate, for a server that asks for one.
        key: Its private key.
        server_name: The name that the server's certificate must be for, if not the target's.
    """

    ca: File | None = None
    cert: File | None = None
    key: File | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        """ConfigError for a value that makes no sense."""
        for name in ("ca", "cert", "key"):
            _check_kind(getattr(self, name), f"tls.{name}", "a path or None", str, PathLike, NoneType)
        _check_kind(self.server_name, "tls.server_name", "a name or None", str, NoneType)


@dataclass(frozen=True)
class Retry:
    """How often a call that a server refused or lost is tried again.

    Attributes:
        patience: Seconds of pauses that a call makes before its failure is the answer; a server restarts in less. 0 for
            no further try, of streams neither.
        first_pause: Seconds of the first pause; each is twice the one before, and by chance half as long again or half
            as short.
        longest_pause: Seconds of the longest.
        reserve: Tries again of all calls of a client together, beyond one for each call that was answered.
    """

    patience: float = 4.0
    first_pause: float = 0.05
    longest_pause: float = 1.0
    reserve: int = 500

    def __post_init__(self) -> None:
        """ConfigError for a value that makes no sense."""
        _check_number(self.patience, "retry.patience", 0)
        _check_number(self.first_pause, "retry.first_pause", 0, more=True)
        _check_number(self.longest_pause, "retry.longest_pause", 0, more=True)
        _check_number(self.reserve, "retry.reserve", 0, whole=True)


@dataclass(frozen=True)
class Keepalive:
    """How a lost server is noticed.

    Attributes:
        time: Seconds without a byte after which a connection is probed; the server takes a probe every 5.
        timeout: Seconds that it then has to answer, and that sent bytes may stay without TCP's acknowledgement.
    """

    time: float = 10.0
    timeout: float = 5.0

    def __post_init__(self) -> None:
        """ConfigError for a value that makes no sense."""
        _check_number(self.time, "keepalive.time", 5)
        _check_number(self.timeout, "keepalive.timeout", 0, more=True)


@dataclass(frozen=True)
class Batch:
    """How many documents are cut into calls.

    Attributes:
        documents: Documents of a call, at most; fewer if the server takes fewer.
        bytes: Bytes of them, at most, unless one document alone has more.
        in_flight: Calls of one list or stream at once.
    """

    documents: int = 256
    bytes: int = 2**18
    in_flight: int = 3

    def __post_init__(self) -> None:
        """ConfigError for a value that makes no sense."""
        for item in fields(self):
            _check_number(getattr(self, item.name), f"batch.{item.name}", 1, whole=True)


@dataclass(frozen=True)
class ClientConfig:
    """How a client talks to its server.

    Attributes:
        target: Where the server is, in gRPC's terms: host:port, dns:///name:port, unix:/path.
        timeout: Seconds that a call may take, with all tries; in a stream, one try of a call.
        stream_timeout: Seconds that a stream may take, from its first document to its last vector; None for as long as
            it gets on.
        tls: Tls() or Tls(ca="ca.pem") for TLS; None for plain text.
        token: Bearer token that calls carry.
        token_file: A file that holds it, read again when it changes.
        insecure_token: Send the token over plain text to another machine, too: where something else encrypts, a service
            mesh say.
        use_proxy: Go by the proxy that grpc_proxy, https_proxy or http_proxy names, unless no_proxy has the server.
            Servers on this machine are never asked for by a proxy.
        retry: What is tried again.
        keepalive: How a lost server is noticed.
        batch: How many documents are cut into calls.
        health_checks: Have each server say whether it is ready, and call only those that are. Costs one small stream to
            each.
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
        """ConfigError for a value that makes no sense."""
        _check_kind(self.target, "target", "host:port", str)
        read_target(self.target)
        _check_number(self.timeout, "timeout", 0, more=True)
        if self.stream_timeout is not None:
            _check_number(self.stream_timeout, "stream_timeout", 0, more=True)
        _check_kind(self.tls, "tls", "Tls(...) or None", Tls, NoneType)
        if not isinstance(self.token, str | None):
            # Whatever it is, it may be the secret.
            raise ConfigError(f"token: must be a str or None, not of the type {type(self.token).__name__}")
        _check_kind(self.token_file, "token_file", "a path or None", str, PathLike, NoneType)
        for name in ("insecure_token", "use_proxy", "health_checks"):
            _check_kind(getattr(self, name), name, "True or False", bool)
        for name, kind in (("retry", Retry), ("keepalive", Keepalive), ("batch", Batch)):
            _check_kind(getattr(self, name), name, f"{kind.__name__}(...)", kind)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **changes: Any) -> Self:
        """The configuration that `PARAVEC_TARGET`, `PARAVEC_TIMEOUT` and their like say, with `changes`.

        A field of a part is named after both, `PARAVEC_TLS_CA`, `PARAVEC_BATCH_IN_FLIGHT`; `PARAVEC_TLS=yes` is TLS
        with the authorities that gRPC brings. An empty variable counts as none. ConfigError names the variable whose
        value will not do. `environment` is the process's own unless given.
        """
        # Not a default argument: help() would print it, and with it PARAVEC_TOKEN.
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for item in fields(cls):
            variable = f"PARAVEC_{item.name.upper()}"
            part = Tls if item.name == "tls" else item.default
            if is_dataclass(part):
                value = _read_part(part, variable, environment)
            else:
                value = _read(variable, _READERS.get(item.name, str), environment)
            if value is not None:
                values[item.name] = value
        return cls(**values | changes)


def _read_part(part: Any, variable: str, environment: Mapping[str, str]) -> Any:
    """A part of the configuration, if the environment says anything of it."""
    values = {}
    for item in fields(part):
        read = str if part is Tls else type(item.default)
        value = _read(f"{variable}_{item.name.upper()}", read, environment)
        if value is not None:
            values[item.name] = value
    if part is Tls:
        return Tls(**values) if values or _read(variable, _read_bool, environment) else None
    return replace(part, **values)


def _read(variable: str, read: Callable[[str], Any], environment: Mapping[str, str]) -> Any:
    text = environment.get(variable)
    if not text:
        return None
    try:
        return read(text)
    except ValueError:
        # A token has no way to be wrong here, so no secret is told.
        raise ConfigError(f"{variable}: must be {_KINDS[read]}, not {text!r}") from None


def _read_bool(text: str) -> bool:
    try:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError(text) from None


_READERS: dict[str, Callable[[str], Any]] = {
    "timeout": float,
    "stream_timeout": float,
    "insecure_token": _read_bool,
    "use_proxy": _read_bool,
    "health_checks": _read_bool,
}
_KINDS: dict[Callable[[str], Any], str] = {float: "a number", int: "a whole number", _read_bool: "yes or no"}
