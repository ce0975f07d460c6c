"""How a client is configured: in code, from the environment, or as a changed copy (`dataclasses.replace`)."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from os import PathLike
from typing import Any, Self

from .errors import ConfigError

File = str | PathLike[str]


def _check(good: bool, name: str, wanted: str, value: object) -> None:
    if not good:
        raise ConfigError(f"{name}: must be {wanted}, not {value!r}")


@dataclass(frozen=True)
class Tls:
    """TLS, and whom to trust. The files are PEM, and are read when a client is made."""

    ca: File | None = None
    """Certificates of authorities that the server's certificate may go back to; None for those that gRPC brings."""
    cert: File | None = None
    """The client's own certificate, for a server that asks for one."""
    key: File | None = None
    """Its private key."""
    server_name: str | None = None
    """The name that the server's certificate must be for, if not the target's."""


@dataclass(frozen=True)
class Retry:
    """How often a call that a server refused or lost is tried again."""

    patience: float = 4.0
    """Seconds of pauses that a call makes before its failure is the answer; a server restarts in less. 0 for no
    further try, of streams neither."""
    first_pause: float = 0.05
    """Seconds of the first pause; each is twice the one before, and by chance half as long again or half as short."""
    longest_pause: float = 1.0
    """Seconds of the longest."""
    reserve: int = 500
    """Tries again of all calls of a client together, beyond one for each call that was answered."""

    def __post_init__(self) -> None:
        """ConfigError for a value that makes no sense."""
        _check(self.patience >= 0, "retry.patience", "at least 0", self.patience)
        _check(self.first_pause > 0, "retry.first_pause", "more than 0", self.first_pause)
        _check(self.longest_pause > 0, "retry.longest_pause", "more than 0", self.longest_pause)
        _check(self.reserve >= 0, "retry.reserve", "at least 0", self.reserve)


@dataclass(frozen=True)
class Keepalive:
    """How a lost server is noticed."""

    time: float = 10.0
    """Seconds without a byte after which a connection is probed; the server takes a probe every 5."""
    timeout: float = 5.0
    """Seconds that it then has to answer, and that sent bytes may stay without TCP's acknowledgement."""

    def __post_init__(self) -> None:
        """ConfigError for a value that makes no sense."""
        _check(self.time >= 5, "keepalive.time", "at least 5", self.time)
        _check(self.timeout > 0, "keepalive.timeout", "more than 0", self.timeout)


@dataclass(frozen=True)
class Batch:
    """How many documents are cut into calls."""

    documents: int = 256
    """Documents of a call, at most; fewer if the server takes fewer."""
    bytes: int = 2**18
    """Bytes of them, at most, unless one document alone has more."""
    in_flight: int = 3
    """Calls of one list or stream at once."""

    def __post_init__(self) -> None:
        """ConfigError for a value that makes no sense."""
        for item in fields(self):
            _check(getattr(self, item.name) >= 1, f"batch.{item.name}", "at least 1", getattr(self, item.name))


@dataclass(frozen=True)
class ClientConfig:
    """How a client talks to its server."""

    target: str = "localhost:50051"
    """Where the server is, in gRPC's terms: host:port, dns:///name:port, unix:/path."""
    timeout: float = 30.0
    """Seconds that a call may take, with all tries; in a stream, one try of a call."""
    stream_timeout: float | None = None
    """Seconds that a stream may take, from its first document to its last vector; None for as long as it gets on."""
    tls: Tls | None = None
    """Tls() or Tls(ca="ca.pem") for TLS; None for plain text."""
    token: str | None = field(default=None, repr=False)
    """Bearer token that calls carry."""
    token_file: File | None = None
    """A file that holds it, read again when it changes."""
    insecure_token: bool = False
    """Send the token over plain text to another machine, too: where something else encrypts, a service mesh say."""
    retry: Retry = Retry()
    """What is tried again."""
    keepalive: Keepalive = Keepalive()
    """How a lost server is noticed."""
    batch: Batch = Batch()
    """How many documents are cut into calls."""
    health_checks: bool = True
    """Have each server say whether it is ready, and call only those that are. Costs one small stream to each."""

    def __post_init__(self) -> None:
        """ConfigError for a value that makes no sense."""
        _check(bool(self.target), "target", "host:port", self.target)
        _check(self.timeout > 0, "timeout", "more than 0 seconds", self.timeout)
        if self.stream_timeout is not None:
            _check(self.stream_timeout > 0, "stream_timeout", "more than 0 seconds", self.stream_timeout)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, **changes: Any) -> Self:
        """The configuration that `PARAVEC_TARGET`, `PARAVEC_TIMEOUT` and their like say, with `changes`.

        A field of a part is named after both, `PARAVEC_TLS_CA`, `PARAVEC_BATCH_IN_FLIGHT`; `PARAVEC_TLS=yes` is TLS
        with the authorities that gRPC brings. An empty variable counts as none. ConfigError names the variable whose
        value will not do.
        """
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
    "health_checks": _read_bool,
}
_KINDS: dict[Callable[[str], Any], str] = {float: "a number", int: "a whole number", _read_bool: "yes or no"}
