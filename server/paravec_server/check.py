"""Whether a server on this machine is well: `python -m paravec_server.check` for probes that cannot speak its TLS.

It asks grpc.health.v1 at the server's own address, by HTTP/2 written by hand: a probe comes every few seconds, and to
load gRPC takes several times the processor time of all else; nor can gRPC be told to speak TLS without a judgement on
the certificate. Here there must be none: a process is not dead because its certificate has expired, and what is asked
is on this very machine.
"""

import argparse
import os
import socket
import ssl
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

# What the server listens on by default; to import its settings would take as long as all else.
_LISTEN = "[::]:50051"
_ALL = ("[::]", "0.0.0.0", "*")  # noqa: S104  these are what is asked at, not listened on
_EMBEDDING = "paravec.v1.EmbeddingService"

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
END_STREAM, END_HEADERS = 1, 4

# The field `status` of a HealthCheckResponse, and what it says.
_STATUS = b"\x08"
_WORDS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


def main(argv: Sequence[str] | None = None) -> int:
    """Ask; 0 if the answer is SERVING, 1 with a line that says why if not."""
    arguments = _parser().parse_args(argv)
    try:
        with _connect(arguments) as connection:
            status = ask(connection, arguments.service, secure=arguments.tls_cert is not None)
    except (OSError, ValueError) as error:
        print(f"{arguments.listen}: {error}", file=sys.stderr)
        return 1
    if status != "SERVING":
        print(f"{arguments.listen}: {arguments.service or 'process'}: {status}", file=sys.stderr)
    return int(status != "SERVING")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m paravec_server.check",
        description="Ask a server on this machine for its health: exit code 0 if it is well.",
    )
    parser.add_argument("--service", default=_EMBEDDING, help='name to ask for; "" is the process [%(default)s]')
    parser.add_argument("--timeout", type=float, default=4.0, help="seconds that an answer may take [%(default)s]")
    for name, default, told in (
        ("listen", _LISTEN, "where the server listens"),
        ("tls_cert", None, "its certificate, which tells that it speaks TLS and is shown to it if it asks for one"),
        ("tls_key", None, "the certificate's key"),
    ):
        variable = f"PARAVEC_{name.upper()}"
        given = os.environ.get(variable) or default
        parser.add_argument(f"--{name.replace('_', '-')}", default=given, help=f"{told} ({variable})")
    return parser


def _connect(arguments: argparse.Namespace) -> socket.socket:
    listen: str = arguments.listen
    if listen.startswith(("unix:", "unix-abstract:")):
        kind, _, path = listen.partition(":")
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(arguments.timeout)
        connection.connect("\0" + path if kind == "unix-abstract" else path.removeprefix("//"))
    else:
        host, _, port = listen.rpartition(":")
        host = "localhost" if host in _ALL else host.strip("[]")
        connection = socket.create_connection((host, int(port)), arguments.timeout)
    if arguments.tls_cert is None:
        return connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    # A renewal that went wrong is the server's to tell, and it goes on with what it had.
    with suppress(OSError):
        context.load_cert_chain(arguments.tls_cert, arguments.tls_key, password=lambda: b"")
    return context.wrap_socket(connection)


def ask(connection: socket.socket, service: str, *, secure: bool) -> str:
    """The server's word on a service; ValueError if there is none."""
    name = service.encode()
    message = b"\x0a" + bytes([len(name)]) + name if name else b""
    body = struct.pack(">BI", 0, len(message)) + message
    connection.sendall(
        PREFACE
        + frame(SETTINGS)
        + frame(HEADERS, request("/grpc.health.v1.Health/Check", secure=secure), END_HEADERS, stream=1)
        + frame(DATA, body, END_STREAM, stream=1)
    )
    answer = b""
    for kind, flags, stream, payload in frames(connection):
        if kind == GOAWAY:
            break
        if stream != 1:
            continue
        if kind == DATA:
            answer += payload
        if flags & END_STREAM and kind in (DATA, HEADERS):
            break
    if len(answer) < 5:
        hint = "; if it asks for certificates, its own must be one that it takes" if secure else ""
        raise ValueError(f"the server ended the connection without an answer{hint}")
    # A status of 0 is not written.
    status = answer[6] if answer[5:6] == _STATUS else 0
    return _WORDS.get(status, str(status))


def request(path: str, *, secure: bool) -> bytes:
    """The headers of a call, in HPACK without compression: numbers are places in its static table."""
    fields = (
        (b"\x04", path.encode()),
        (b"\x01", b"localhost"),
        (b"\x0f\x10", b"application/grpc"),
        (b"\x00\x02te", b"trailers"),
    )
    # POST; https or http.
    return b"\x83" + (b"\x87" if secure else b"\x86") + b"".join(n + bytes([len(v)]) + v for n, v in fields)


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    """A frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def frames(connection: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each frame that comes; ends with the connection."""
    buffer = bytearray()
    while True:
        size = 9 + int.from_bytes(buffer[:3], "big")
        if len(buffer) < 9 or len(buffer) < size:
            if not (more := connection.recv(65536)):
                return
            buffer += more
            continue
        kind, flags, stream = struct.unpack_from(">BBI", buffer, 3)
        yield kind, flags, stream, bytes(buffer[9:size])
        del buffer[:size]


if __name__ == "__main__":
    sys.exit(main())
