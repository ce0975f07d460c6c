"""Finds the HTTP proxy between a client and its server, by gRPC's environment variables and rules.

gRPC's own choice differs in two cases: it calls servers on this machine through the proxy, and it does not look up the
addresses of an ipv4 or ipv6 target in `no_proxy`. So channels are told which proxy to use.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..config import ClientConfig, parse_target
from ..errors import ConfigError

_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_NO_PROXY_VARIABLES = ("no_grpc_proxy", "no_proxy")


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy that tunnels connections to the server (CONNECT)."""

    variable: str
    """The environment variable that names it."""
    address: str
    """host:port, without user and password."""

    def __str__(self) -> str:
        return f"the proxy {self.address} ({self.variable})"


def find_proxy(config: ClientConfig, environment: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy for the configuration's target; None for a direct connection.

    ConfigError for a list of addresses behind a proxy: gRPC would ask the proxy for the whole list as one host.
    """
    environment = os.environ if environment is None else environment
    target = parse_target(config.target)
    if not config.use_proxy or target.local or target.scheme in ("unix", "unix-abstract", "vsock"):
        return None
    proxy = _proxy_of(environment)
    if proxy is None or (target.hosts and all(_in_no_proxy(host, environment) for host in target.hosts)):
        return None
    if len(target.hosts) > 1:
        raise ConfigError(
            f"target: gRPC cannot reach a list of addresses through {proxy}: list all of them in no_proxy, or set "
            "use_proxy to False"
        )
    return proxy


def channel_options(proxy: Proxy | None, config: ClientConfig) -> list[tuple[str, Any]]:
    """Channel arguments for a connection through the proxy, or for a direct one."""
    options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", int(proxy is not None))]
    if not config.use_proxy or parse_target(config.target).local:
        # Turns off GRPC_ADDRESS_HTTP_PROXY, gRPC's proxy for single addresses.
        options.append(("grpc.address_http_proxy_enabled_addresses", ""))
    return options


def _proxy_of(environment: Mapping[str, str]) -> Proxy | None:
    """The proxy of the first variable that is set; an empty value means no proxy."""
    variable = next((name for name in _PROXY_VARIABLES if name in environment), None)
    if variable is None:
        return None
    match = re.match(r"http://(?:[^@/]*@)?([^/?#]+)", environment[variable])
    # gRPC, too, ignores all but http:// URLs.
    return Proxy(variable, match[1]) if match else None


def _in_no_proxy(host: str, environment: Mapping[str, str]) -> bool:
    """Whether no_proxy has the host, a suffix of its name, or a network that contains it."""
    entries = next((environment[name] for name in _NO_PROXY_VARIABLES if name in environment), "")
    return any(_matches(host.lower(), entry.strip().lower()) for entry in entries.split(",") if entry.strip())


def _matches(host: str, entry: str) -> bool:
    if entry == "*" or host.endswith(entry):
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
