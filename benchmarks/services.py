"""The measured services: installs, starts, awaits and stops each on its core."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

import grpc
import numpy as np

from . import environments
from .models import Trained
from .wires import Json, OpenInference, Paravec, Wire

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build/bench"
PEERS = ROOT / "benchmarks/peers"

PEER_NAMES = ("flask", "mlserver", "bentoml", "litserve")

# No call is refused, because the rate is measured. overload.py measures with bounds.
_UNBOUNDED = (
    "--max-concurrent-rpcs",
    "10000",
    "--max-bytes-in-flight",
    "1000000000",
    "--max-work-in-flight",
    "1000000",
)

_START_SECONDS = 90.0
"""Timeout of a service's first response."""


class ServiceError(Exception):
    """A service cannot be installed, started or called. The message is one line."""


@dataclass(frozen=True)
class Service:
    """One way to serve the model."""

    name: str
    """Name in tables."""
    key: str
    """Name in files and results."""
    wire: Wire
    """Its protocol."""
    batch: int
    """Texts in one call of the batch measurement."""
    command: Sequence[str]
    """Command line; {0}, {1} and {2} stand for free ports, of which it serves on the first."""
    environment: dict[str, str] = field(default_factory=dict)
    """Environment variables, with the same placeholders."""
    constant: bool = False
    """Whether it returns the same vector for each text."""

    @contextmanager
    def running(self, core: int, probes: Sequence[str]) -> Iterator[int]:
        """Run the service on `core`; yields its port."""
        with self.process(str(core), probes) as (port, _):
            yield port

    @contextmanager
    def process(self, cores: str, probes: Sequence[str], *flags: str) -> Iterator[tuple[int, int]]:
        """Run the service on `cores` with further flags; yields its port and process id."""
        ports = free_ports(3)
        command = ["taskset", "-c", cores, *(part.format(*ports) for part in self.command), *flags]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment |= {name: value.format(*ports) for name, value in self.environment.items()}
        BUILD.mkdir(parents=True, exist_ok=True)
        with (BUILD / f"{self.key}.log").open("w") as log:
            process = subprocess.Popen(
                command, env=environment, cwd=BUILD, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                self._wait(process, ports[0], probes)
                yield ports[0], process.pid
            finally:
                _stop(process)

    def ask(self, port: int, texts: Sequence[str], vector_size: int) -> tuple[bytes, bytes]:
        """Request and response of one call. Raises ServiceError unless it returns a valid vector for each text."""
        request = self.wire.request(texts)
        try:
            answer = self.wire.call(port, request)
            vectors = np.array(self.wire.vectors(answer))
        except grpc.RpcError as error:
            raise ServiceError(f"{self.name}: {error.code().name}: {error.details()}") from error
        except (OSError, HTTPException, LookupError, ValueError) as error:
            raise ServiceError(f"{self.name}: {error}") from error
        if vectors.shape != (len(texts), vector_size) or not (np.isfinite(vectors).all() and vectors.any(axis=1).all()):
            raise ServiceError(f"{self.name}: the response is not {len(texts)} vectors of {vector_size} numbers")
        if not self.constant and len(np.unique(vectors, axis=0)) < len(set(texts)):
            raise ServiceError(f"{self.name}: returned the same vector for different texts")
        return request, answer

    def _wait(self, process: subprocess.Popen[bytes], port: int, probes: Sequence[str]) -> None:
        last = time.monotonic() + _START_SECONDS
        while True:
            if process.poll() is not None:
                raise ServiceError(f"{self.name}: exited before its first response; see {self._log}")
            try:
                self.wire.call(port, self.wire.request(probes))
                return
            except (grpc.RpcError, OSError, HTTPException) as error:
                if time.monotonic() > last:
                    why = error.details() if isinstance(error, grpc.RpcError) else error
                    raise ServiceError(f"{self.name}: no response: {why}; see {self._log}") from error
                time.sleep(0.1)

    @property
    def _log(self) -> str:
        return str((BUILD / f"{self.key}.log").relative_to(ROOT))


def ours(trained: Trained) -> list[Service]:
    """paravec-server with each method, and the empty handler; run by this Python."""
    handler = [sys.executable, str(PEERS / "empty_handler.py"), "{0}", str(trained.vector_size)]
    return [
        Service("empty gRPC handler", "empty", Paravec(), 256, handler, _environment(), constant=True),
        *(paravec(trained, method, *_UNBOUNDED) for method in ("map", "sgd")),
    ]


def paravec(trained: Trained, method: str, *flags: str) -> Service:
    """paravec-server with one thread and these flags; run by this Python."""
    command = [sys.executable, "-m", "paravec_server.cli", "--model", str(trained.artifact), "--method", method]
    command += ["--listen", "127.0.0.1:{0}", "--threads", "1", "--log-level", "warning", *flags]
    return Service(f"paravec, {method}", f"paravec-{method}", Paravec(), 256, command, _environment())


def stock(trained: Trained, method: str) -> Service:
    """The same work in a grpcio server with default settings; run by this Python."""
    command = [sys.executable, str(PEERS / "stock.py"), "{0}", str(trained.artifact), method]
    return Service(f"stock grpcio, {method}", f"stock-{method}", Paravec(), 256, command, _environment())


def peer(key: str, trained: Trained) -> Service:
    """A service that runs gensim; installs it if needed. Raises ServiceError if that fails."""
    directory = install(key)
    tools, environment = directory / "bin", {"BENCH_MODEL": str(trained.gensim), "PYTHONDONTWRITEBYTECODE": "1"}
    if key == "flask":
        command = [f"{tools}/python", "-m", "gunicorn", "--workers", "1", "--bind", "127.0.0.1:{0}"]
        command += ["--chdir", str(PEERS), "--log-level", "warning", "with_flask:app"]
        return Service("Flask, gunicorn", key, Json(), 64, command, environment)
    if key == "mlserver":
        environment |= {"MLSERVER_HOST": "127.0.0.1", "MLSERVER_DEBUG": "false", "MLSERVER_PARALLEL_WORKERS": "0"}
        environment |= {"MLSERVER_GRPC_PORT": "{0}", "MLSERVER_HTTP_PORT": "{1}", "MLSERVER_METRICS_PORT": "{2}"}
        environment |= {"MLSERVER_MODEL_NAME": "doc2vec", "MLSERVER_MODEL_IMPLEMENTATION": "with_mlserver.Embedder"}
        command = [f"{tools}/python", f"{tools}/mlserver", "start", str(PEERS)]
        return Service("MLServer", key, OpenInference(directory, "doc2vec"), 64, command, environment)
    if key == "bentoml":
        environment |= {"BENTOML_HOME": str(directory / "home"), "BENTOML_DO_NOT_TRACK": "true"}
        command = [f"{tools}/python", "-m", "bentoml", "serve", "with_bentoml:Embedder", "--working-dir", str(PEERS)]
        command += ["--host", "127.0.0.1", "--port", "{0}", "--quiet"]
        return Service("BentoML", key, Json(), 64, command, environment)
    command = [f"{tools}/python", str(PEERS / "with_litserve.py"), "{0}"]
    return Service("LitServe", key, Json(), 64, command, environment)


def install(key: str) -> Path:
    """The virtual environment of a peer; creates it if needed. Raises ServiceError if that fails."""
    try:
        return environments.install(ROOT / f"requirements/bench-{key}.lock", BUILD / key)
    except environments.InstallError as error:
        raise ServiceError(f"{key}: {error}") from error


def versions(key: str) -> dict[str, str]:
    """Versions of a peer's main packages."""
    program = "import importlib.metadata as m, sys; print(*(f'{n}={m.version(n)}' for n in sys.argv[1:]))"
    names = {"flask": ["flask", "gunicorn"]}.get(key, [key])
    done = subprocess.run(
        [f"{BUILD / key}/bin/python", "-c", program, *names, "gensim", "numpy"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(pair.split("=", 1) for pair in done.stdout.split())


def _environment() -> dict[str, str]:
    sources = os.pathsep.join(str(path) for path in (ROOT / "model", ROOT / "server", ROOT / "proto"))
    return {"PYTHONPATH": sources, "PYTHONDONTWRITEBYTECODE": "1"}


def free_ports(count: int) -> list[int]:
    """Currently free ports."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a service and all processes that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
