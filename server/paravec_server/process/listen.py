"""The address to listen on."""

import errno
import os
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

from ..settings import NO_PORT, ListenError, SettingsError, names_of, read_address

CANNOT_LISTEN = "{}: cannot be listened on; is the address right, and no other server on the port?"


class UnixSocket:
    """The file of a Unix socket that gRPC makes: not taken from a server that listens there, and removed at the end.

    gRPC replaces whatever socket has the name, and the end of a process leaves the file. Other addresses have no file,
    and nothing is done for them.
    """

    def __init__(self, listen: str) -> None:
        scheme, _, path = listen.partition(":")
        self._listen = listen
        self._path = Path(path) if scheme == "unix" else None
        self._made: tuple[int, int] | None = None

    def check(self) -> None:
        """ListenError if somebody listens there, or nobody can; what a process that was killed has left is no
        hindrance."""
        if self._path is None:
            return
        try:
            with socket.socket(socket.AF_UNIX) as caller:
                # To wait for a server with many callers is not needed to know that it is there.
                caller.setblocking(False)
                caller.connect(str(self._path))
            problem = "another server listens there"
        except OSError as error:
            refused = error.errno == errno.ECONNREFUSED and self._path.is_socket()
            if refused or (error.errno == errno.ENOENT and self._path.parent.is_dir()):
                return
            problem = {
                errno.EAGAIN: "another server listens there",
                errno.ECONNREFUSED: "a file that is no socket has this name",
                errno.ENOENT: "there is no such directory",
            }.get(error.errno or 0, error.strerror or str(error))
        raise ListenError(f"{self._listen}: cannot be listened on: {problem}")

    def made(self) -> None:
        """Remember which file there is, now that gRPC has made it."""
        if self._path is not None:
            self._made = _identity(self._path)

    def remove(self) -> None:
        """Delete the file, unless another has taken its name."""
        with suppress(OSError):
            if self._path is not None and self._made is not None and _identity(self._path) == self._made:
                self._path.unlink()


def _identity(path: Path) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def hold(listen: str, held: ExitStack) -> str:
    """Take a TCP address, as long as `held` does, for processes that share it by SO_REUSEPORT; no other server gets it.

    Returns it, with a free port in place of port 0; SettingsError if it has no port, ListenError if it is taken.
    """
    if listen.startswith(NO_PORT):
        raise SettingsError(f"{names_of('workers')}: several share a port, so {names_of('listen')} must be host:port")
    host, number = read_address("listen", listen)
    try:
        for family, address in _addresses(host, number):
            # Fails where another server listens, which the one that is held would not.
            with _bound(family, address, number, share=False) as alone:
                number = alone.getsockname()[1]
            held.enter_context(_bound(family, address, number, share=True))
    except (OSError, UnicodeError):
        raise ListenError(CANNOT_LISTEN.format(listen)) from None
    return f"{listen.rpartition(':')[0]}:{number}"


def _bound(family: socket.AddressFamily, address: str, port: int, *, share: bool) -> socket.socket:
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier server that have not quite ended are in nobody's way.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, share)
        taken.bind((address, port))
    except OSError:
        taken.close()
        raise
    return taken


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = {(family, str(address[0])) for family, _, _, _, address in found}
    if "::" in host and not socket.has_dualstack_ipv6():
        # gRPC too falls back to IPv4 where the machine has nothing else.
        return [(socket.AF_INET, "0.0.0.0")]  # noqa: S104
    return sorted(addresses)
