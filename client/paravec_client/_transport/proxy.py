"""Which proxy stands between a client and its server, if any: by the variables that gRPC reads, with its rules.

gRPC decides by itself, too, but sends calls to this machine through a proxy, and does not find the addresses of a list
in `no_proxy`. So each channel is told what was decided here.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..config import ClientConfig
from ..errors import ConfigError
from ..target import read_target

_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTIONS = ("no_grpc_proxy", "no_proxy")


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy that is asked for a tunnel to the server."""

    variable: str
    """The variable that names it."""
    address: str
    """host:port, without user and password."""

    def __str__(self) -> str:
        return f"the proxy {self.address} ({self.variable})"


def find_proxy(config: ClientConfig, environment: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy that calls go through; None if they go straight to the server.

    ConfigError for several addresses that would go through one: gRPC would ask it for all of them as one name.
    """
    environment = os.environ if environment is None else environment
    target = read_target(config.target)
    if not config.use_proxy or target.local or target.scheme in ("unix", "unix-abstract", "vsock"):
        return None
    proxy = _named(environment)
    if proxy is None or (target.hosts and all(_is_excepted(host, environment) for host in target.hosts)):
        return None
    if len(target.hosts) > 1:
        raise ConfigError(
            f"target: gRPC cannot reach a list of addresses through {proxy}: name them all in no_proxy, or set "
            "use_proxy to False"
        )
    return proxy


def channel_options(proxy: Proxy | None, config: ClientConfig) -> list[tuple[str, Any]]:
    """What tells a channel to go by the proxy, or by none."""
    options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", int(proxy is not None))]
    if not config.use_proxy or read_target(config.target).local:
        # Another variable, GRPC_ADDRESS_HTTP_PROXY, has a proxy for each address.
        options.append(("grpc.address_http_proxy_enabled_addresses", ""))
    return options


def _named(environment: Mapping[str, str]) -> Proxy | None:
    """The proxy of the first variable that is set; an empty one means none."""
    variable = next((name for name in _VARIABLES if name in environment), None)
    if variable is None:
        return None
    match = re.match(r"http://(?:[^@/]*@)?([^/?#]+)", environment[variable])
    # gRPC, too, passes over what is no http:// address.
    return Proxy(variable, match[1]) if match else None


def _is_excepted(host: str, environment: Mapping[str, str]) -> bool:
    """Whether no_proxy has the host, an ending of its name, or a network that it is in."""
    listed = next((environment[name] for name in _EXCEPTIONS if name in environment), "")
    return any(_matches(host.lower(), entry.strip().lower()) for entry in listed.split(",") if entry.strip())


def _matches(host: str, entry: str) -> bool:
    if entry == "*" or host.endswith(entry):
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
