"""Programs of Node with locked packages."""

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest


def install(source: Path, folder: Path) -> None:
    """Copy a program to a folder and install its packages there, once for each lock; skip where that is impossible."""
    if not shutil.which("npm"):
        pytest.skip("no Node: apt-get install nodejs npm")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
        wanted = (folder / "package-lock.json").read_bytes()
        if not (done := folder / "node_modules/.done").exists() or done.read_bytes() != wanted:
            command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if ran.returncode:
                pytest.skip(f"npm could not install what {source.name} needs: {ran.stderr.strip().splitlines()[-1]}")
            done.write_bytes(wanted)
