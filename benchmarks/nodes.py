"""Nodes on one machine: network namespaces behind a bridge. Cutting a link simulates the loss of a machine.

Needs root and `ip` of iproute2. Names and addresses derive from the process id, so several processes can run at once.
Each process first removes the nodes of processes that were killed.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_PREFIX = "pvnode"
_IP = shutil.which("ip") or ""


class NodesError(Exception):
    """Nodes cannot be created. The message is one line."""


class Nodes:
    """Nodes numbered from 0, each with an address that this process can reach."""

    def __init__(self, name: str, network: str, count: int) -> None:
        self._name, self._network = name, network
        self.addresses = [f"{network}.{n + 11}" for n in range(count)]

    def start(self, node: int, command: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
        """Run a command on a node; `options` are Popen's."""
        return subprocess.Popen([_IP, "netns", "exec", self._namespace(node), *command], text=True, **options)

    def cut(self, node: int) -> None:
        """Drop all packets to and from the node."""
        _ip("link", "set", self._link(node), "down")

    def restore(self, node: int) -> None:
        """Deliver the node's packets again."""
        _ip("link", "set", self._link(node), "up")

    def _make(self) -> None:
        _ip("link", "add", self._name, "type", "bridge")
        _ip("address", "add", f"{self._network}.1/24", "dev", self._name)
        _ip("link", "set", self._name, "up")
        for n, address in enumerate(self.addresses):
            space, link = self._namespace(n), self._link(n)
            _ip("netns", "add", space)
            _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", link, "master", self._name, "up")
            _ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            _ip("-n", space, "link", "set", "lo", "up")

    def _namespace(self, node: int) -> str:
        return f"{self._name}-{node}"

    def _link(self, node: int) -> str:
        return f"{self._name.replace(_PREFIX, 'pv')}-{node}"


@contextmanager
def nodes(count: int) -> Iterator[Nodes]:
    """Create `count` nodes, and remove them at the end. Raises NodesError if that fails."""
    if os.geteuid() != 0:
        raise NodesError("network namespaces need root")
    if not _IP:
        raise NodesError("no ip command: apt-get install iproute2")
    _sweep()
    used = {one["local"] for link in json.loads(_ip("-json", "address")) for one in link["addr_info"]}
    network = next(
        f"10.77.{n % 256}" for n in range(os.getpid(), os.getpid() + 256) if f"10.77.{n % 256}.1" not in used
    )
    made = Nodes(f"{_PREFIX}{os.getpid()}", network, count)
    try:
        made._make()
        yield made
    finally:
        _remove(f"{_PREFIX}{os.getpid()}")


def _sweep() -> None:
    """Remove the nodes of processes that have ended."""
    names = {line.split()[0].split("-")[0] for line in _ip("netns", "list").splitlines() if line.startswith(_PREFIX)}
    for name in names:
        if not Path(f"/proc/{name.removeprefix(_PREFIX)}").exists():
            _remove(name)


def _remove(name: str) -> None:
    spaces = [line.split()[0] for line in _ip("netns", "list").splitlines() if line.startswith(f"{name}-")]
    for space in spaces:
        _ip("netns", "delete", space)
    with suppress(NodesError):
        _ip("link", "delete", name)


def _ip(*arguments: str) -> str:
    done = subprocess.run([_IP, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NodesError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
