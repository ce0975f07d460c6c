"""Frames of HTTP/2 by hand, for what no client of gRPC would send."""

import socket
import struct
from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK, END_STREAM, END_HEADERS = 1, 1, 4


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
