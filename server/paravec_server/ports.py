"""The address to listen on."""

import socket
from contextlib import ExitStack

from .settings import NO_PORT, ListenError, SettingsError, names_of, read_address

CANNOT_LISTEN = "{}: cannot be listened on; is the address right, and no other server on the port?"


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
