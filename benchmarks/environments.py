"""Virtual environments for programs that are not to share ours, made from hashed locks.

python benchmarks/environments.py requirements/faq.lock build/faq
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path


class InstallError(Exception):
    """An environment cannot be made; one line."""


def install(lock: Path, place: Path) -> Path:
    """`place`, with what the lock holds installed, unless it is there already."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lockfile:
        # Tests run in several processes.
        fcntl.flock(lockfile, fcntl.LOCK_EX)
        _install(lock, place)
    return place


def _install(lock: Path, place: Path) -> None:
    ready = place / ".ready"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not ready.exists() or ready.read_text() != wanted:
        print(f"installing {lock.name} into {place}", file=sys.stderr)
        pip = [f"{place}/bin/python", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        pip += ["--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
        for command in ([sys.executable, "-m", "venv", "--clear", str(place)], pip):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                lines = (done.stderr or done.stdout).strip().splitlines() or ["no word why"]
                first = next((line for line in lines if line.startswith("ERROR")), lines[-1])
                raise InstallError(f"cannot be installed: {first}")
        ready.write_text(wanted)


if __name__ == "__main__":
    try:
        install(*map(Path, sys.argv[1:]))
    except InstallError as error:
        raise SystemExit(f"{sys.argv[1]} {error}") from None
