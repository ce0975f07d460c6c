"""Servers on Unix sockets: files in use, stale files and their removal."""

import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact

from ..servers import PATIENCE, command, failure, running


def refused(artifact: Artifact, address: str) -> str:
    """The one line of a server that cannot listen there."""
    code, lines = failure(*command(artifact.path, "--listen", address))
    assert code == 1
    (line,) = (line for line in lines if not line.startswith("{"))
    assert line.startswith(f"paravec-server: cannot listen on {address}: ")
    return line.rpartition(": ")[2]


def answers(address: str) -> bool:
    """Whether a server answers there."""
    with EmbeddingClient(address) as client:
        client.wait_until_ready(PATIENCE)
        return bool(client.embed("fire").any())


@pytest.mark.parametrize("address", ["unix:{}/socket", "unix-abstract:{}"])
def test_a_socket_in_use_is_refused(artifact: Artifact, tmp_path: Path, address: str) -> None:
    """A second server on the socket ends with one line, and the first goes on."""
    address = address.format(tmp_path)
    with running(artifact.path, "--listen", address, ready=False) as server:
        server.wait_for("serving")
        if address.startswith("unix:"):
            assert refused(artifact, address) == "another server listens there"
        else:
            ran = subprocess.run(
                command(artifact.path, "--listen", address), capture_output=True, text=True, check=False
            )
            assert ran.returncode == 1
            assert f"cannot listen on {address}: " in ran.stderr
        assert answers(address)
        assert server.stop() == 0
        assert not any("port" in event for event in server.events)
    assert not (tmp_path / "socket").exists()


def test_a_stale_socket_is_replaced(artifact: Artifact, tmp_path: Path) -> None:
    """A socket left by a killed server is replaced."""
    path = tmp_path / "socket"
    with running(artifact.path, "--listen", f"unix:{path}", ready=False) as first:
        first.wait_for("serving")
        first.stop(signal.SIGKILL)
    assert path.is_socket()
    with running(artifact.path, "--listen", f"unix:{path}", ready=False) as second:
        second.wait_for("serving")
        assert answers(f"unix:{path}")
        assert second.stop() == 0
    assert not path.exists()


def test_a_server_removes_only_its_own_socket(artifact: Artifact, tmp_path: Path) -> None:
    """A file that has since taken the socket's name is left alone."""
    path = tmp_path / "socket"
    with running(artifact.path, "--listen", f"unix:{path}", ready=False) as server:
        server.wait_for("serving")
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            assert server.stop() == 0
            assert path.is_socket()


def test_an_impossible_socket_path_is_one_clear_line(artifact: Artifact, tmp_path: Path) -> None:
    """A missing folder, a path that is no socket and a path that is too long are one line."""
    (tmp_path / "file").write_text("precious")
    assert refused(artifact, f"unix:{tmp_path}/none/socket") == "there is no such directory"
    assert refused(artifact, f"unix:{tmp_path}/file") == "a file that is not a socket has this name"
    assert (tmp_path / "file").read_text() == "precious"
    assert refused(artifact, f"unix:{tmp_path}/{'a' * 120}") == "AF_UNIX path too long"


def test_a_relative_socket_path_is_in_the_working_directory(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is relative to the directory that the server was started in."""
    monkeypatch.chdir(tmp_path)
    with running(artifact.path.resolve(), "--listen", "unix:socket", ready=False) as server:
        server.wait_for("serving")
        assert answers(f"unix:{tmp_path}/socket")
        assert server.stop() == 0
    assert not (tmp_path / "socket").exists()


def test_unix_sockets_and_no_reflection_work(artifact: Artifact, tmp_path: Path) -> None:
    """unix: addresses work, reflection can be turned off, and the socket is removed at the end."""
    address = f"unix:{tmp_path}/paravec.sock"
    arguments = [*command(artifact.path), "--listen", address, "--no-reflection"]
    with (
        subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as process,
        grpc.insecure_channel(address) as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=PATIENCE)
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            list(reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")])))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert not (tmp_path / "paravec.sock").exists()
