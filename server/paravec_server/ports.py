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
            # The first fails where another server listens, which the second would not.
            for option in socket.SO_REUSEADDR, socket.SO_REUSEPORT:
                taken = socket.socket(family, socket.SOCK_STREAM)
                held.callback(taken.close)
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                taken.setsockopt(socket.SOL_SOCKET, option, 1)
                taken.bind((address, number))
                number = taken.getsockname()[1]
                if option == socket.SO_REUSEADDR:
                    taken.close()
    except (OSError, UnicodeError):
        raise ListenError(CANNOT_LISTEN.format(listen)) from None
    return f"{listen.rpartition(':')[0]}:{number}"


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = {(family, str(address[0])) for family, _, _, _, address in found}
    if "::" in host and not socket.has_dualstack_ipv6():
        # gRPC too falls back to IPv4 where the machine has nothing else.
        return [(socket.AF_INET, "0.0.0.0")]  # noqa: S104
    return sorted(addresses)
