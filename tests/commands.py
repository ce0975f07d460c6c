"""Run the `paravec` command."""

import subprocess
import sys

from .servers import Server


def paravec(
    server: Server | None, *arguments: str, given: str | bytes = "", python: str = sys.executable
) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end, with `given` as standard input."""
    data = given if isinstance(given, bytes) else given.encode()
    command = line(server, *arguments, python=python)
    ran = subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)
    return subprocess.CompletedProcess(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())


def line(server: Server | None, *arguments: str, python: str = sys.executable) -> list[str]:
    """The arguments that start the command."""
    target = ["--target", server.target] if server else []
    return [python, "-m", "paravec_client.cli", *arguments, *target]
