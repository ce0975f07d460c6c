"""Servers on Unix sockets: whose file it is, and who removes it."""

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact

from ..servers import PATIENCE, command, running


def refused(artifact: Artifact, address: str) -> str:
    """The one line of a server that cannot listen there."""
    arguments = command(artifact.path, "--listen", address)
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ran.returncode == 1
    (line,) = (line for line in ran.stderr.splitlines() if not line.startswith("{"))
    assert line.startswith(f"paravec-server: cannot listen on {address}: ")
    return line.rpartition(": ")[2]


def answers(address: str) -> bool:
    """Whether a server answers there."""
    with EmbeddingClient(address) as client:
        client.wait_until_ready(PATIENCE)
        return bool(client.embed("fire").any())


@pytest.mark.parametrize("address", ["unix:{}/socket", "unix-abstract:{}"])
def test_a_live_socket_is_not_taken(artifact: Artifact, tmp_path: Path, address: str) -> None:
    """As with TCP: the second server says so, and the first one goes on."""
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


def test_a_socket_that_nobody_listens_on_is_taken_over(artifact: Artifact, tmp_path: Path) -> None:
    """One that a killed server has left."""
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


def test_only_the_own_file_is_removed(artifact: Artifact, tmp_path: Path) -> None:
    """Another may have taken the name meanwhile."""
    path = tmp_path / "socket"
    with running(artifact.path, "--listen", f"unix:{path}", ready=False) as server:
        server.wait_for("serving")
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            assert server.stop() == 0
            assert path.is_socket()


def test_a_path_that_cannot_be_is_said(artifact: Artifact, tmp_path: Path) -> None:
    """A folder that is not there, a file that is something else, a name that is too long."""
    (tmp_path / "file").write_text("precious")
    assert refused(artifact, f"unix:{tmp_path}/none/socket") == "there is no such directory"
    assert refused(artifact, f"unix:{tmp_path}/file") == "a file that is not a socket has this name"
    assert (tmp_path / "file").read_text() == "precious"
    assert refused(artifact, f"unix:{tmp_path}/{'a' * 120}") == "AF_UNIX path too long"


def test_a_relative_path(artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one of the directory that the server was started in."""
    monkeypatch.chdir(tmp_path)
    with running(artifact.path.resolve(), "--listen", "unix:socket", ready=False) as server:
        server.wait_for("serving")
        assert answers(f"unix:{tmp_path}/socket")
        assert server.stop() == 0
    assert not (tmp_path / "socket").exists()
