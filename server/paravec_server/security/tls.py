"""From files to what gRPC listens with: certificates that are renewed while the server runs, or plain text."""

import ipaddress
import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from ..settings import Settings, SettingsError, names_of
from ..telemetry.logs import event
from .reloaded_files import Renewed, read

_log = logging.getLogger(__name__)


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """What to listen with, None for plain text; SettingsError if the files are not what is needed.

    A certificate that is renewed on disk serves the connections that come after that.
    """
    if settings.tls_cert is None and settings.tls_key is None:
        if settings.tls_client_ca is not None:
            raise SettingsError(f"{names_of('tls_client_ca')} needs {names_of('tls_cert')} and {names_of('tls_key')}")
        if settings.tokens_file is not None and not is_local(settings.listen):
            problem = "anyone on the way can read the tokens: set tls_cert and tls_key, or listen on localhost"
            event(_log, logging.WARNING, "tokens over plain text", listen=settings.listen, problem=problem)
        return None
    for one, other in ("tls_cert", "tls_key"), ("tls_key", "tls_cert"):
        if getattr(settings, other) is None:
            raise SettingsError(f"{names_of(one)} needs {names_of(other)}")
    return _renewable(settings)


def _renewable(settings: Settings) -> grpc.ServerCredentials:
    files = [file for file in (settings.tls_cert, settings.tls_key, settings.tls_client_ca) if file]
    certificate = Renewed("certificate", files, lambda: _load(settings))
    served = certificate.get()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        """gRPC asks this at each new connection; None is "as before", which saves it from parsing all again."""
        nonlocal served
        before, served = served, certificate.get()
        return None if served is before else served

    required = settings.tls_client_ca is not None
    return grpc.dynamic_ssl_server_credentials(served, renewed, required)  # type: ignore[arg-type]  # may be None


def is_local(listen: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    host = listen.rpartition(":")[0].strip("[]")
    if listen.startswith(("unix:", "unix-abstract:")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _load(settings: Settings) -> grpc.ServerCertificateConfiguration:
    """What the files hold, tried out: gRPC itself would say no more than that a handshake failed."""
    certificate, key = read("tls_cert", settings.tls_cert), read("tls_key", settings.tls_key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with _as_file(certificate) as chain, _as_file(key) as secret:
            # A key behind a password would be asked for on the terminal.
            server.load_cert_chain(chain, secret, password=lambda: b"")
    except ssl.SSLError:
        raise SettingsError(
            f"{names_of('tls_key')}: {settings.tls_key} is not the key of {settings.tls_cert}, "
            "or one of them is no PEM file, or the key has a password"
        ) from None
    authorities = None
    if settings.tls_client_ca is not None:
        authorities = read("tls_client_ca", settings.tls_client_ca)
        try:
            server.load_verify_locations(cadata=_text(authorities))
        except (ssl.SSLError, ValueError):
            raise SettingsError(
                f"{names_of('tls_client_ca')}: {settings.tls_client_ca} holds no certificate, or is no PEM file"
            ) from None
    if problem := _problem(server, certificate):
        event(_log, logging.WARNING, "certificate at fault", file=settings.tls_cert, problem=problem)
    return grpc.ssl_server_certificate_configuration([(key, certificate)], authorities)


def _text(pem: bytes) -> str:
    return pem.decode("ascii", "ignore")


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path for bytes in memory: ssl reads nothing else, and what is tried must be what is served."""
    with open(os.memfd_create("pem"), "w+b", buffering=0) as file:
        file.write(content)
        yield f"/proc/self/fd/{file.fileno()}"


def _problem(server: ssl.SSLContext, certificate: bytes) -> str:
    """What a client finds wrong with a certificate, if it trusts who issued it: expired, say; else "".

    A handshake in memory, with a client that trusts this very certificate and compares no names.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=_text(certificate))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
    for end in ends * 2:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
    return ""
