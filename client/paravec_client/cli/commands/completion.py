"""paravec completion: prints a completion script for a shell."""

import argparse
from functools import partial
from typing import Any

from ..optional import import_shtab

SHELLS = ("bash", "zsh", "fish", "tcsh")


def add(commands: Any, parser: argparse.ArgumentParser) -> None:
    """Add the command. Its script completes the arguments of `parser`."""
    command = commands.add_parser(
        "completion", help="print a completion script for a shell",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Print a script that lets a shell complete commands, flags and file names.",
        epilog='examples:\n  eval "$(paravec completion bash)"    # in ~/.bashrc\n'
               "  paravec completion fish > ~/.config/fish/completions/paravec.fish",
    )  # fmt: skip
    command.add_argument("shell", choices=SHELLS, help="the shell")
    command.set_defaults(run=partial(_completion, parser, commands))


def _completion(parser: argparse.ArgumentParser, commands: Any, arguments: argparse.Namespace) -> int:
    shtab = import_shtab()
    for command in commands.choices.values():
        for action in command._actions:
            if action.metavar == "FILE":
                action.complete = shtab.FILE
    print(shtab.complete(parser, arguments.shell))
    return 0
