"""A canary in the lab: two pods of the overlay production-canary, and HAProxy where a cluster has a Gateway."""

import shlex
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc

from paravec.v1.embedding_pb2 import EmbedRequest
from paravec.v1.embedding_pb2_grpc import EmbeddingServiceStub
from paravec_client import EmbeddingClient

from ..pages import commands
from ..servers import PATIENCE, stock_retries, until
from .manifests import CANARY, Objects, only, pods, render
from .pods import Environment, free_port

PAGE = "docs/how-to/roll-out-a-model.md"


def steps() -> list[str]:
    """The lines that the page changes: the tag, the way forward, which goes back once in its midst, the promotion."""
    tag, few, more_pods, half, everything, back, *promotion = commands(PAGE, "sed")
    return [tag, few, more_pods, half, back, everything, *promotion]


def change(line: str, overlays: Path) -> None:
    """Change one line of an overlay, as the page does."""
    subprocess.run(shlex.split(line), cwd=overlays, check=True)


def proxy_settings(route: Mapping[str, Any], addresses: Mapping[str, str], port: int, control: Path) -> str:
    """A GRPCRoute as HAProxy's configuration; `addresses` are those of the Services."""
    frontend, backends = [f"bind 127.0.0.1:{port} proto h2"], []
    # The Gateway API gives precedence to the rule that matches more headers.
    for number, rule in enumerate(sorted(route["spec"]["rules"], key=lambda rule: -len(_headers(rule)))):
        assert rule.keys() <= {"matches", "backendRefs"}, "HAProxy of Debian has no mirror"
        conditions = [f"{{ req.hdr({one['name']}) -m str {one['value']} }}" for one in _headers(rule)]
        frontend.append(f"use_backend rule-{number}" + (f" if {' '.join(conditions)}" if conditions else ""))
        backends += [f"backend rule-{number}", "  balance roundrobin"]
        for one in rule["backendRefs"]:
            backends.append(f"  server {one['name']} {addresses[one['name']]} proto h2 weight {one.get('weight', 1)}")
    limits = [f"timeout {name} 60s" for name in ("connect", "client", "server")]
    sections = [
        *("global", f"  stats socket {control} expose-fd listeners"),
        *("defaults", "  mode http", *(f"  {limit}" for limit in limits)),
        *("frontend gateway", *(f"  {line}" for line in frontend)),
    ]
    return "\n".join([*sections, *backends, ""])


def _headers(rule: Mapping[str, Any]) -> list[dict[str, str]]:
    """The headers of a rule's one match."""
    (match,) = rule.get("matches", [{"headers": []}])
    headers: list[dict[str, str]] = match["headers"]
    return headers


class Gateway:
    """HAProxy with a route's rules and weights."""

    def __init__(self, folder: Path) -> None:
        self._port, self._folder = free_port(), folder
        self._process: subprocess.Popen[bytes] | None = None
        self.target = f"127.0.0.1:{self._port}"

    def apply(self, route: Mapping[str, Any], addresses: Mapping[str, str]) -> None:
        """Take over from the process before, with its listening socket, and wait until that has answered its calls."""
        control, file = self._folder / "control", self._folder / "haproxy.cfg"
        file.write_text(proxy_settings(route, addresses, self._port, control))
        before = self._process
        handover = ["-x", str(control), "-sf", str(before.pid)] if before else []
        self._process = subprocess.Popen(["haproxy", "-db", "-q", "-f", file, *handover])
        if before:
            assert before.wait(PATIENCE) == 0
        until(self._listens)

    def _listens(self) -> bool:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self._port)):
            return True
        return False

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process:
            self._process.terminate()
            self._process.wait(PATIENCE)


class Canary:
    """Stable, candidate, and the Gateway before them, of one copy of kustomize/."""

    def __init__(self, folder: Path) -> None:
        self.stable = Environment(folder, CANARY, free_port(), "canary-stable", "production")
        self.candidate = Environment(folder, CANARY, free_port(), "canary-candidate", "production-candidate")
        self._gateway, self._overlays = Gateway(folder), self.stable.path.parent
        self._applied: dict[str, Objects] = {}
        self.target = self._gateway.target

    def apply(self) -> None:
        """`kubectl apply -k` for the lab: pods go on if nothing of theirs has changed."""
        for one in (self.stable, self.candidate):
            objects = [found for found in one.objects() if found["kind"] in ("ConfigMap", "Deployment")]
            spec = only(objects, "Deployment")["spec"]
            # The lab has one pod for any number.
            spec["replicas"] = min(1, spec.get("replicas", 1))
            if self._applied.get(one.name) != objects:
                one.apply()
                self._applied[one.name] = objects
                if spec["replicas"]:
                    with EmbeddingClient(one.target) as client:
                        client.wait_until_ready()
        objects = render(self.stable.path)
        self._gateway.apply(only(objects, "GRPCRoute"), self._addresses(objects))

    def _addresses(self, objects: Objects) -> dict[str, str]:
        """Where each Service leads, by its selector."""
        labelled = [(pods(one.objects())[0]["metadata"]["labels"], one.target) for one in (self.stable, self.candidate)]
        services = {o["metadata"]["name"]: o["spec"]["selector"] for o in objects if o["kind"] == "Service"}
        found = {}
        for name, selector in services.items():
            (found[name],) = (target for labels, target in labelled if selector.items() <= labels.items())
        return found

    def step(self, line: str) -> None:
        """Change one line as the page does, and apply."""
        change(line, self._overlays)
        self.apply()

    def remove(self) -> None:
        """Stop all."""
        self._gateway.stop()
        self.stable.remove()
        self.candidate.remove()


class Callers:
    """Two callers that embed without a pause over stock channels that retry, and note which model answers."""

    def __init__(self, target: str, header: str | None = None) -> None:
        self._target, self._stop = target, threading.Event()
        self._metadata = [] if header is None else [("paravec-candidate", header)]
        self._versions: list[str] = []
        self._pool = ThreadPoolExecutor(2)
        self._runs: list[Future[None]] = [self._pool.submit(self._run) for _ in range(2)]

    def _run(self) -> None:
        request = EmbedRequest(documents=[{"text": "fires burn near the city"}])
        with grpc.insecure_channel(self._target, stock_retries()) as channel:
            embed = EmbeddingServiceStub(channel).Embed
            while not self._stop.is_set():
                self._versions.append(embed(request, metadata=self._metadata, timeout=20).model.version)

    def next(self, count: int) -> Counter[str]:
        """The versions of the models that answer the next calls; each caller may have one under way."""
        begin = len(self._versions) + len(self._runs)
        until(lambda: self._answered() >= begin + count)
        return Counter(self._versions[begin : begin + count])

    def _answered(self) -> int:
        """The number of answers; raises the error of a call that failed."""
        for run in (run for run in self._runs if run.done()):
            run.result()
        return len(self._versions)

    def stop(self) -> None:
        """Stop calling; raises the error of the first call that failed."""
        self._stop.set()
        self._pool.shutdown()
        for run in self._runs:
            run.result()
