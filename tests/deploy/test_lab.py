"""The containers' lab says why it cannot run."""

import os
import subprocess
from pathlib import Path

ENV = Path(__file__).parent / "lab/env.sh"


def test_a_failed_installation_shows_apts_own_reason(tmp_path: Path) -> None:
    """If apt-get fails, its errors follow the names of the packages; its other output does not."""
    programs = {
        "id": "echo 0",
        "dpkg": "exit 1",
        "apt-get": "echo noise; echo 'E: Unable to locate package podman' >&2; exit 100",
    }
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PARAVEC_LAB": str(tmp_path / "lab")}
    done = subprocess.run(["bash", ENV], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    *_, needed, reason = done.stderr.splitlines()
    assert needed.startswith("the lab needs packages that apt-get cannot install here: podman buildah")
    assert reason == "E: Unable to locate package podman"
