"""Signals end paravec-model in one line, and leave nothing of what it was writing."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gensim.models.doc2vec import Doc2Vec

from paravec_model.artifact import Artifact

# Sends itself the signal when the output is complete but for its name, then runs on.
SIGNALLED = """
import os, pathlib, signal, sys
from paravec_model.cli.main import main
number, rename = int(sys.argv[1]), pathlib.Path.rename
def signalled(path, target):
    os.kill(os.getpid(), number)
    return rename(path, target)
pathlib.Path.rename = signalled
sys.exit(main(sys.argv[2:]))
"""


def signalled(number: int, *arguments: str, ignoring: bool = False) -> tuple[int, str]:
    """Exit status and stderr of a command that gets the signal."""
    # A shell's background job ignores SIGINT, and a job under nohup SIGHUP: these tests may be one.
    hangup = "SIG_IGN" if ignoring else "SIG_DFL"
    before = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    before += f"; signal.signal(signal.SIGHUP, signal.{hangup})"
    command = [sys.executable, "-c", before + SIGNALLED, str(int(number)), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stderr


@pytest.mark.parametrize("command", ["train", "convert", "index", "package", "export"])
def test_a_terminated_command_leaves_no_output(
    command: str, artifact: Artifact, gensim_model: Doc2Vec, tmp_path: Path
) -> None:
    """Each command that writes removes what it has written; the exit status is the signal's."""
    given, output = tmp_path / "given", tmp_path / "outputs" / "output.npy"
    given.mkdir()
    gensim_model.save(str(given / "gensim"))
    (given / "lines").write_text("the fire\nthe rain\n")
    arguments = {
        "train": [
            "--corpus",
            "lee",
            "--vector-size",
            "4",
            "--epochs",
            "1",
            "--min-count",
            "5",
            "--output",
            str(output),
        ],
        "convert": [str(given / "gensim"), str(output)],
        "index": [str(artifact.path), "--lines", str(given / "lines"), "--output", str(output)],
        "package": [str(artifact.path), str(output)],
        "export": [str(artifact.path), str(output)],
    }
    assert signalled(signal.SIGTERM, command, *arguments[command]) == (143, "paravec-model: terminated\n")
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "status", "line"), [(signal.SIGHUP, 129, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_other_signals_that_end_a_command_do_so_too(
    number: int, status: int, line: str, artifact: Artifact, tmp_path: Path
) -> None:
    """A terminal that is closed, and Ctrl-C."""
    ended = signalled(number, "package", str(artifact.path), str(tmp_path / "output"))
    assert ended == (status, f"paravec-model: {line}\n")
    assert list(tmp_path.iterdir()) == []


def test_under_nohup_a_closed_terminal_ends_nothing(artifact: Artifact, tmp_path: Path) -> None:
    """SIGHUP that is ignored stays so."""
    ended = signalled(signal.SIGHUP, "package", str(artifact.path), str(tmp_path / "output"), ignoring=True)
    assert ended == (0, "")
    assert (tmp_path / "output").is_dir()
