"""The address that a server listens on: a TCP port, or a Unix socket and its file."""

import errno
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from ..settings import NO_PORT, ListenError, SettingsError, read_address, setting_names

_CANNOT_LISTEN = "cannot listen on {}: is the address right, and the port free?"


class Listener:
    """Binds a gRPC server to an address, and owns the file if that is a Unix socket.

    gRPC replaces any socket file of the same name, even a live server's, and leaves its own when the process ends. So
    `bind` first checks that no server listens on the file, and `close` deletes it.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.port: int | None = None
        """The bound port; None before `bind`, and for an address without a port."""
        scheme, _, path = address.partition(":")
        self._socket_file = Path(path) if scheme == "unix" else None
        self._file_id: tuple[int, int] | None = None

    def bind(self, add_port: Callable[[str], int]) -> None:
        """Bind by `add_port`, the add_insecure_port or add_secure_port of a grpc.Server.

        Clients can connect from now on; their calls wait until the server starts. Raises ListenError if the address is
        taken or invalid.
        """
        if self._socket_file is not None:
            self._check_socket(self._socket_file)
        try:
            port = add_port(self.address)
        except RuntimeError:
            raise ListenError(_CANNOT_LISTEN.format(self.address)) from None
        if self._socket_file is not None:
            self._file_id = _file_id(self._socket_file)
        self.port = None if self.address.startswith(NO_PORT) else port

    def close(self) -> None:
        """Delete the file of a Unix socket, unless another server has replaced it."""
        with suppress(OSError):
            if self._socket_file is not None and self._file_id == _file_id(self._socket_file):
                self._socket_file.unlink()

    def _check_socket(self, path: Path) -> None:
        """Raise ListenError if a server listens on the file, or none can. A killed server's file may be replaced."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                # EAGAIN from a server with a full backlog is enough: it is alive.
                client.setblocking(False)
                client.connect(str(path))
            problem = "another server listens there"
        except OSError as error:
            refused = error.errno == errno.ECONNREFUSED and path.is_socket()
            if refused or (error.errno == errno.ENOENT and path.parent.is_dir()):
                return
            problem = {
                errno.EAGAIN: "another server listens there",
                errno.ECONNREFUSED: "a file that is not a socket has this name",
                errno.ENOENT: "there is no such directory",
            }.get(error.errno or 0, error.strerror or str(error))
        raise ListenError(f"cannot listen on {self.address}: {problem}")


def _file_id(path: Path) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def reserve_port(listen: str, reserved: ExitStack) -> str:
    """Reserve a TCP address for worker processes, which share it by SO_REUSEPORT, until `reserved` is closed.

    Returns the address, with a free port in place of port 0. Raises SettingsError if it has no port, ListenError if it
    is taken.
    """
    if listen.startswith(NO_PORT):
        raise SettingsError(
            f"{setting_names('workers')}: workers share a TCP port, so {setting_names('listen')} must be host:port"
        )
    host, port = read_address("listen", listen)
    try:
        for family, address in _resolve(host, port):
            # Without SO_REUSEPORT this fails if another server listens, even one with SO_REUSEPORT.
            with _bound_socket(family, address, port, reuse_port=False) as exclusive:
                port = exclusive.getsockname()[1]
            reserved.enter_context(_bound_socket(family, address, port, reuse_port=True))
    except (OSError, UnicodeError):
        raise ListenError(_CANNOT_LISTEN.format(listen)) from None
    return f"{listen.rpartition(':')[0]}:{port}"


def _bound_socket(family: socket.AddressFamily, address: str, port: int, *, reuse_port: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Allows connections of an earlier server in TIME_WAIT.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound


def _resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = {(family, str(address[0])) for family, _, _, _, address in found}
    if "::" in host and not socket.has_dualstack_ipv6():
        # As gRPC does on a machine without IPv6.
        return [(socket.AF_INET, "0.0.0.0")]  # noqa: S104
    return sorted(addresses)
