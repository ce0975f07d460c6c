"""TLS credentials and the bearer token."""

import re
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from .._protocol.call_settings import Metadata
from ..config import ClientConfig, File, Tls, parse_target
from ..errors import ConfigError

_TOKEN = re.compile(r"[!-~]+")


def channel_factory(config: ClientConfig, library: Any = grpc) -> Callable[..., Any]:
    """A function that opens a channel of `grpc` or `grpc.aio` to the target, with TLS if configured.

    Reads the certificate files once, here; ConfigError if they are unusable.
    """
    if config.tls is None:
        return partial(library.insecure_channel, config.target)
    credentials, name = _credentials(config.tls), config.tls.server_name

    def secure(options: Sequence[tuple[str, Any]], **arguments: Any) -> Any:
        name_option = [] if name is None else [("grpc.ssl_target_name_override", name)]
        return library.secure_channel(config.target, credentials, options=[*options, *name_option], **arguments)

    return secure


class Authorization:
    """Adds the bearer token to the metadata of calls.

    gRPC's own call credentials refuse plain text altogether, even to this machine or in a service mesh that encrypts.
    Here a token is sent over TLS, to this machine, or where `insecure_token` allows it.
    """

    def __init__(self, config: ClientConfig) -> None:
        """ConfigError if the configuration forbids sending the token, or its file is unusable."""
        self._file = Path(config.token_file) if config.token_file is not None else None
        self._file_version: tuple[int, ...] | None = None
        self._metadata: Metadata = ()
        if config.token is not None and self._file is not None:
            raise ConfigError("token and token_file: set one of them, not both")
        if config.token is None and self._file is None:
            return
        if config.tls is None and not config.insecure_token and not parse_target(config.target).local:
            raise ConfigError(
                f"the token would go to {config.target} over plain text, readable on the way: set tls, or "
                "insecure_token if the network encrypts by other means"
            )
        if config.token is not None:
            self._metadata = _bearer(config.token, "token")
        elif self._file is not None:
            self._read(self._file)

    def metadata(self, given: Metadata = ()) -> Metadata:
        """The caller's metadata with the token. While its file is unusable, the last good token is used."""
        if any(key == "authorization" for key, _ in given):
            return given
        if self._file is not None:
            # The file may be in the middle of a change. If the old token has expired, the server says so.
            with suppress(ConfigError):
                self._read(self._file)
        return (*given, *self._metadata) if given else self._metadata

    def _read(self, file: Path) -> None:
        try:
            status = file.stat()
            version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if version == self._file_version:
                return
            token = file.read_text("ascii", "replace").strip()
        except OSError as error:
            raise ConfigError(f"token_file: {file}: {error.strerror}") from None
        self._metadata, self._file_version = _bearer(token, f"token_file: {file}"), version


def _bearer(token: str, setting: str) -> Metadata:
    if not _TOKEN.fullmatch(token):
        raise ConfigError(f"{setting}: must be one token of printable ASCII characters")
    return (("authorization", f"Bearer {token}"),)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    if (tls.cert is None) != (tls.key is None):
        raise ConfigError("tls: a certificate needs its key, and a key its certificate")
    # Python's ssl checks the files first: gRPC would only report a failed handshake.
    ca, cert, key = map(_content, (tls.ca, tls.cert, tls.key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
    except ssl.SSLError:
        raise ConfigError(f"tls: {tls.ca} holds no certificate, or is not a PEM file") from None
    try:
        if tls.cert is not None:
            # Without `password`, ssl would ask for the password of an encrypted key on the terminal.
            context.load_cert_chain(tls.cert, tls.key, password=lambda: b"")
    except ssl.SSLError:
        raise ConfigError(
            f"tls: {tls.key} is not the key of {tls.cert}, or one of them is not a PEM file, or the key has a password"
        ) from None
    return grpc.ssl_channel_credentials(ca, key, cert)


def _content(file: File | None) -> bytes | None:
    try:
        return None if file is None else Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"tls: {file}: {error.strerror}") from None
