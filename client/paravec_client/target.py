"""Where a server is, in gRPC's terms: what a target says, and which targets gRPC would take for something else."""

import ipaddress
import re
from dataclasses import dataclass

from .errors import ConfigError

_WANTED = "host:port, dns:///host:port, ipv4:address:port,address:port or unix:/path"

# Schemes whose rest is no list of addresses.
_OPAQUE = ("unix", "unix-abstract", "vsock", "xds", "google-c2p")


@dataclass(frozen=True)
class Target:
    """A target, taken apart."""

    scheme: str
    """As gRPC names it; dns if the target names none."""
    hosts: tuple[str, ...]
    """Host names or addresses, without ports and brackets; none for schemes that have no hosts."""

    @property
    def local(self) -> bool:
        """Whether all of it is this machine."""
        if self.scheme in ("unix", "unix-abstract"):
            return True
        return bool(self.hosts) and all(map(_is_loopback, self.hosts))


def read_target(target: str) -> Target:
    """The target's parts; ConfigError if gRPC would not call a server there, or one at another port."""
    scheme, found, rest = target.partition(":")
    if found and scheme in _OPAQUE and rest:
        return Target(scheme, ())
    if match := re.match(r"dns:(?://[^/]*/)?(.*)", target):
        return Target("dns", (_host(match[1], target),))
    if found and scheme in ("ipv4", "ipv6"):
        hosts = tuple(_host(address, target) for address in rest.split(","))
        for host in hosts:
            if not _is_address(host, int(scheme[-1])):
                raise ConfigError(f"target: {host!r} is no address of {scheme}; in {target!r}")
        return Target(scheme, hosts)
    if "://" in target:
        raise ConfigError(f"target: must be {_WANTED}, not {target!r}: gRPC has no {scheme}://")
    return Target("dns", (_host(target, target),))


def _host(address: str, target: str) -> str:
    """The host of host:port; ConfigError if there is no such port."""
    # An IPv6 address stands in brackets, or its end would be taken for a port.
    match = re.fullmatch(r"(?:\[([^\[\]\s]+)\]|([^\[\]\s:/]+)):(\d{1,5})", address)
    if match is None:
        raise ConfigError(f"target: must be {_WANTED}, with its port, not {target!r}")
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
