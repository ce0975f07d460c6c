"""Limits of the operating system at a server's start, and SIGHUP."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from paravec_model.artifact import Artifact

from ..servers import PATIENCE, command, running


@pytest.mark.parametrize("files", [8, 20, 40])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_low_limit_of_open_files_is_one_clear_line(artifact: Artifact, files: int, workers: str) -> None:
    """A start with too few file descriptors names the limit to raise."""
    arguments = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command(artifact.path, "--workers", workers)]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"paravec-server: the limit of open files is {files}: raise ")
    assert "ulimit -n" in line


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root may become a user with few threads"
)
def test_a_low_limit_of_threads_is_one_clear_line(artifact: Artifact) -> None:
    """A start with too few threads names the limit, where gRPC would wait for ever."""
    caps = "+dac_read_search,+dac_override"
    user = ["setpriv", "--reuid=23456", "--clear-groups", f"--inh-caps={caps}", f"--ambient-caps={caps}"]
    arguments = [*user, "prlimit", "--nproc=8", *command(artifact.path)]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ran.returncode == 1
    line = ran.stderr.splitlines()[-1]
    assert line.startswith("paravec-server: cannot start a thread: raise ")
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("OSError(24, 'Too many open files')", "Too many open files: raise the limit of open files"),
        ("OSError(23, 'Too many open files in system')", "sysctl fs.file-max"),
        ("OSError(11, 'Resource temporarily unavailable')", "raise the limit of threads and processes"),
        ("OSError(12, 'Cannot allocate memory')", "raise the limit of memory"),
        ("OSError(28, 'No space left on device')", "No space left on device"),
        ("MemoryError()", "raise the limit of memory"),
        ('RuntimeError("can\'t start new thread")', "raise the limit of threads and processes"),
    ],
)
def test_an_os_error_during_the_start_is_one_clear_line(artifact: Artifact, error: str, told: str) -> None:
    """An error of the operating system anywhere in the start is one line."""
    program = (
        "import sys, paravec_server.app as app\n"
        f"def serve(*_): raise {error}\n"
        "app.serve = serve\n"
        "from paravec_server.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = [sys.executable, "-c", program, *command(artifact.path)[3:]]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert told in line


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_drains(artifact: Artifact, workers: str) -> None:
    """SIGHUP, which a closing terminal sends, drains as SIGTERM does."""
    with running(artifact.path, "--workers", workers) as server:
        assert server.stop(signal.SIGHUP) == 0
        assert server.events[-1]["event"] == "stopped"
        assert any(event.get("reason") == "SIGHUP" for event in server.events)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_ignored_sighup_stays_ignored(artifact: Artifact, workers: str) -> None:
    """Under nohup SIGHUP does nothing, and SIGTERM still stops the server."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with running(artifact.path, "--workers", workers) as server:
            children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
            for process in (server.process.pid, *map(int, children)):
                ignored = Path(f"/proc/{process}/status").read_text().partition("SigIgn:\t")[2].split()[0]
                assert int(ignored, 16) & 1 << signal.SIGHUP - 1
            server.process.send_signal(signal.SIGHUP)
            assert server.stop() == 0
            assert not any(event.get("reason") == "SIGHUP" for event in server.events)
    finally:
        signal.signal(signal.SIGHUP, before)
