"""Virtual environments for programs that are not to share ours, made from hashed locks.

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
    """An environment cannot be made; one line."""


def install(lock: Path, place: Path, *built: str) -> Path:
    """`place`, with what the lock holds installed, unless it is there already.

    `built`: packages that come as source only, and are built with the setuptools that the lock holds.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lockfile:
        # Tests run in several processes.
        fcntl.flock(lockfile, fcntl.LOCK_EX)
        _install(lock, place, built)
    return place


def _install(lock: Path, place: Path, built: Sequence[str]) -> None:
    ready = place / ".ready"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not ready.exists() or ready.read_text() != wanted:
        print(f"installing {lock.name} into {place}", file=sys.stderr)
        pip = [f"{place}/bin/python", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        pip += ["--require-hashes", "--only-binary", ":all:"]
        commands = [[sys.executable, "-m", "venv", "--clear", str(place)], [*pip, "-r", str(lock)]]
        if built:
            others = place.with_suffix(".binary")
            others.write_text(_without(lock.read_text(), built))
            source = [f"--no-binary={','.join(built)}", "--no-build-isolation"]
            commands[1:] = [[*pip, "-r", str(others)], [*pip, *source, "-r", str(lock)]]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                lines = (done.stderr or done.stdout).strip().splitlines() or ["no word why"]
                first = next((line for line in lines if line.startswith("ERROR")), lines[-1])
                raise InstallError(f"cannot be installed: {first}")
        ready.write_text(wanted)


def _without(lock: str, names: Sequence[str]) -> str:
    """The lock without some packages: each begins a line, and its hashes follow, indented."""
    return re.sub(rf"^(?:{'|'.join(map(re.escape, names))})==.*\n(?:[ \t].*\n)*", "", lock, flags=re.MULTILINE)


if __name__ == "__main__":
    try:
        lock, place, *without = sys.argv[1:]
        install(Path(lock), Path(place), *without)
    except InstallError as error:
        raise SystemExit(f"{sys.argv[1]} {error}") from None
