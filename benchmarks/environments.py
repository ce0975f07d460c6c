"""Creates virtual environments from hashed locks, for programs whose packages conflict with ours.

python benchmarks/environments.py requirements/faq.lock build/faq
"""

import fcntl
import hashlib
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


class InstallError(Exception):
    """An environment cannot be created. The message is one line."""


def install(lock: Path, directory: Path, *built: str) -> Path:
    """Create a virtual environment with the lock's packages in `directory`, unless it is up to date.

    `built`: packages without wheels, which are built with the lock's setuptools.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_suffix(".lock").open("w") as lockfile:
        # Several test processes may install at the same time.
        fcntl.flock(lockfile, fcntl.LOCK_EX)
        _install(lock, directory, built)
    return directory


def _install(lock: Path, directory: Path, built: Sequence[str]) -> None:
    ready = directory / ".ready"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not ready.exists() or ready.read_text() != wanted:
        print(f"installing {lock.name} into {directory}", file=sys.stderr)
        pip = [f"{directory}/bin/python", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        pip += ["--require-hashes", "--only-binary", ":all:"]
        commands = [[sys.executable, "-m", "venv", "--clear", str(directory)], [*pip, "-r", str(lock)]]
        if built:
            others = directory.with_suffix(".binary")
            others.write_text(_without(lock.read_text(), built))
            source = [f"--no-binary={','.join(built)}", "--no-build-isolation"]
            commands[1:] = [[*pip, "-r", str(others)], [*pip, *source, "-r", str(lock)]]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                lines = (done.stderr or done.stdout).strip().splitlines() or ["pip printed no reason"]
                first = next((line for line in lines if line.startswith("ERROR")), lines[-1])
                raise InstallError(f"installation failed: {first}")
        ready.write_text(wanted)


def _without(lock: str, names: Sequence[str]) -> str:
    """The lock without some packages. A package starts a line, and its hashes follow on indented lines."""
    return re.sub(rf"^(?:{'|'.join(map(re.escape, names))})==.*\n(?:[ \t].*\n)*", "", lock, flags=re.MULTILINE)


if __name__ == "__main__":
    try:
        lock, directory, *without = sys.argv[1:]
        install(Path(lock), Path(directory), *without)
    except InstallError as error:
        raise SystemExit(f"{sys.argv[1]} {error}") from None
