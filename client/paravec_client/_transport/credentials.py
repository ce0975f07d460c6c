"""How a client proves who it is, and knows that the server is: TLS, and a bearer token."""

import re
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from .._protocol.call_settings import Metadata
from ..config import ClientConfig, File, Tls
from ..errors import ConfigError
from ..target import read_target

_TOKEN = re.compile(r"[!-~]+")


def channel_opener(config: ClientConfig, library: Any = grpc) -> Callable[..., Any]:
    """What opens a channel to the server, by `grpc` or `grpc.aio`, given options and more; over TLS if so configured.

    The files of certificates are read here, once; ConfigError if they will not do.
    """
    if config.tls is None:
        return partial(library.insecure_channel, config.target)
    credentials, name = _credentials(config.tls), config.tls.server_name

    def secure(options: Sequence[tuple[str, Any]], **more: Any) -> Any:
        named = [] if name is None else [("grpc.ssl_target_name_override", name)]
        return library.secure_channel(config.target, credentials, options=[*options, *named], **more)

    return secure


class Authorization:
    """What each call says in its metadata to be let in.

    gRPC's own call credentials refuse plain text altogether, and so could not be used on this machine, nor where a
    service mesh does the encryption. The rule here: a token goes over TLS, to this machine, or where it was allowed.
    """

    def __init__(self, config: ClientConfig) -> None:
        """ConfigError if the token must not be sent, or there is none where it should be."""
        self._file = Path(config.token_file) if config.token_file is not None else None
        self._state: tuple[int, ...] | None = None
        self._metadata: Metadata = ()
        if config.token is not None and self._file is not None:
            raise ConfigError("token and token_file: one of them, not both")
        if config.token is None and self._file is None:
            return
        if config.tls is None and not config.insecure_token and not read_target(config.target).local:
            raise ConfigError(
                f"the token would go to {config.target} over plain text, for all on the way to read: set tls, or "
                "insecure_token if something else encrypts"
            )
        if config.token is not None:
            self._metadata = _bearer(config.token, "token")
        elif self._file is not None:
            self._read(self._file)

    def metadata(self, given: Metadata = ()) -> Metadata:
        """Metadata for a call: what its caller gave, and the token that the file holds, or did while it was good."""
        if any(key == "authorization" for key, _ in given):
            return given
        if self._file is not None:
            # It may be in the middle of a change. If the old token is no longer good, the server says so.
            with suppress(ConfigError):
                self._read(self._file)
        return (*given, *self._metadata) if given else self._metadata

    def _read(self, file: Path) -> None:
        try:
            found = file.stat()
            state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if state == self._state:
                return
            token = file.read_text("ascii", "replace").strip()
        except OSError as error:
            raise ConfigError(f"token_file: {file}: {error.strerror}") from None
        self._metadata, self._state = _bearer(token, f"token_file: {file}"), state


def _bearer(token: str, where: str) -> Metadata:
    if not _TOKEN.fullmatch(token):
        raise ConfigError(f"{where}: must be one token of printable ASCII characters")
    return (("authorization", f"Bearer {token}"),)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    if (tls.cert is None) != (tls.key is None):
        raise ConfigError("tls: a certificate needs its key, and a key its certificate")
    # Tried out here: gRPC would say no more than that a handshake failed.
    ca, cert, key = map(_content, (tls.ca, tls.cert, tls.key))
    tried = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca is not None:
            tried.load_verify_locations(tls.ca)
    except ssl.SSLError:
        raise ConfigError(f"tls: {tls.ca} holds no certificate, or is no PEM file") from None
    try:
        if tls.cert is not None:
            # A key behind a password would be asked for on the terminal.
            tried.load_cert_chain(tls.cert, tls.key, password=lambda: b"")
    except ssl.SSLError:
        raise ConfigError(
            f"tls: {tls.key} is not the key of {tls.cert}, or one of them is no PEM file, or the key has a password"
        ) from None
    return grpc.ssl_channel_credentials(ca, key, cert)


def _content(file: File | None) -> bytes | None:
    try:
        return None if file is None else Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"tls: {file}: {error.strerror}") from None
