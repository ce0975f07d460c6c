"""gRPC server credentials from PEM files, which are reloaded when they change."""

import ipaddress
import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from ..settings import Settings, SettingsError, setting_names
from ..telemetry.logs import event
from .reloaded_files import ReloadedFiles, read_file

_log = logging.getLogger(__name__)


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """The server's TLS credentials; None for plain text. Raises SettingsError if a file is missing or invalid.

    New connections get the certificate that was last read from disk.
    """
    if settings.tls_cert is None and settings.tls_key is None:
        if settings.tls_client_ca is not None:
            raise SettingsError(
                f"{setting_names('tls_client_ca')} needs {setting_names('tls_cert')} and {setting_names('tls_key')}"
            )
        if settings.tokens_file is not None and not _is_local(settings.listen):
            problem = "tokens cross the network unencrypted: set tls_cert and tls_key, or listen on localhost"
            event(_log, logging.WARNING, "tokens over plain text", listen=settings.listen, problem=problem)
        return None
    for one, other in ("tls_cert", "tls_key"), ("tls_key", "tls_cert"):
        if getattr(settings, other) is None:
            raise SettingsError(f"{setting_names(one)} needs {setting_names(other)}")
    return _reloaded_credentials(settings)


def _reloaded_credentials(settings: Settings) -> grpc.ServerCredentials:
    files = [file for file in (settings.tls_cert, settings.tls_key, settings.tls_client_ca) if file]
    certificate = ReloadedFiles("certificate", files, lambda: _load(settings))
    current = certificate.get()

    def changed_certificate() -> grpc.ServerCertificateConfiguration | None:
        """gRPC calls this at each new connection. None means "unchanged", which saves parsing the files again."""
        nonlocal current
        previous, current = current, certificate.get()
        return None if current is previous else current

    required = settings.tls_client_ca is not None
    return grpc.dynamic_ssl_server_credentials(current, changed_certificate, required)  # type: ignore[arg-type]  # may be None


def _is_local(listen: str) -> bool:
    """Whether only this machine can reach the address."""
    host = listen.rpartition(":")[0].strip("[]")
    if listen.startswith(("unix:", "unix-abstract:")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _load(settings: Settings) -> grpc.ServerCertificateConfiguration:
    """Load and check the files. gRPC itself would only report that a handshake failed."""
    certificate, key = read_file("tls_cert", settings.tls_cert), read_file("tls_key", settings.tls_key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with _as_file(certificate) as chain, _as_file(key) as secret:
            # Without this, OpenSSL asks for an encrypted key's password on the terminal.
            server.load_cert_chain(chain, secret, password=lambda: b"")
    except ssl.SSLError:
        raise SettingsError(
            f"{setting_names('tls_key')}: {settings.tls_key} is not the key of {settings.tls_cert}, "
            "one of them is not a PEM file, or the key is encrypted"
        ) from None
    authorities = None
    if settings.tls_client_ca is not None:
        authorities = read_file("tls_client_ca", settings.tls_client_ca)
        try:
            server.load_verify_locations(cadata=_text(authorities))
        except (ssl.SSLError, ValueError):
            raise SettingsError(
                f"{setting_names('tls_client_ca')}: {settings.tls_client_ca} holds no certificate, or is not a PEM file"
            ) from None
    if problem := _certificate_problem(server, certificate):
        event(_log, logging.WARNING, "certificate invalid", file=settings.tls_cert, problem=problem)
    return grpc.ssl_server_certificate_configuration([(key, certificate)], authorities)


def _text(pem: bytes) -> str:
    return pem.decode("ascii", "ignore")


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path to a file in memory: ssl loads only from paths, and the checked bytes must be those that are served."""
    with open(os.memfd_create("pem"), "w+b", buffering=0) as file:
        file.write(content)
        yield f"/proc/self/fd/{file.fileno()}"


def _certificate_problem(server: ssl.SSLContext, certificate: bytes) -> str:
    """What a client that trusts the issuer finds wrong with a certificate, e.g. that it is expired; "" if nothing.

    Runs a handshake in memory with a client that trusts this certificate and checks no names.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=_text(certificate))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    for end in ends * 2:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
    return ""
