"""Parses gRPC targets, and rejects those that gRPC would accept but read as another address."""

import ipaddress
import re
from dataclasses import dataclass

from ..errors import ConfigError

_EXPECTED = "host:port, dns:///host:port, ipv4:address:port,address:port or unix:/path"

# Schemes whose path is not a list of addresses.
_SCHEMES_WITHOUT_HOSTS = ("unix", "unix-abstract", "vsock", "xds", "google-c2p")


@dataclass(frozen=True)
class Target:
    """A parsed target."""

    scheme: str
    """gRPC's name resolver: dns, ipv4, unix, ...; dns if the target names none."""
    hosts: tuple[str, ...]
    """Host names or addresses, without ports and brackets; empty for schemes without hosts."""

    @property
    def local(self) -> bool:
        """Whether all its addresses are on this machine."""
        if self.scheme in ("unix", "unix-abstract"):
            return True
        return bool(self.hosts) and all(map(_is_loopback, self.hosts))


def parse_target(target: str) -> Target:
    """The target's scheme and hosts. ConfigError if gRPC would reject it, or read another port from it."""
    scheme, separator, rest = target.partition(":")
    if separator and scheme in _SCHEMES_WITHOUT_HOSTS and rest:
        return Target(scheme, ())
    if match := re.match(r"dns:(?://[^/]*/)?(.*)", target):
        return Target("dns", (_host(match[1], target),))
    if separator and scheme in ("ipv4", "ipv6"):
        hosts = tuple(_host(address, target) for address in rest.split(","))
        for host in hosts:
            if not _is_address(host, int(scheme[-1])):
                raise ConfigError(f"target: {host!r} is not an {scheme} address; in {target!r}")
        return Target(scheme, hosts)
    if "://" in target:
        raise ConfigError(f"target: must be {_EXPECTED}, not {target!r}: gRPC has no scheme {scheme}://")
    return Target("dns", (_host(target, target),))


def _host(address: str, target: str) -> str:
    """The host of host:port; ConfigError without a valid port."""
    # IPv6 addresses need brackets: gRPC would read the last group as the port.
    match = re.fullmatch(r"(?:\[([^\[\]\s]+)\]|([^\[\]\s:/]+)):(\d{1,5})", address)
    if match is None:
        raise ConfigError(f"target: must be {_EXPECTED}, with its port, not {target!r}")
    if not 1 <= int(match[3]) <= 65535:
        raise ConfigError(f"target: the port must be 1 to 65535, not {match[3]}; in {target!r}")
    return match[1] or match[2]


def _is_address(host: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(host).version == version
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
