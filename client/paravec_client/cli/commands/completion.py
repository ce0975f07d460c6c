"""paravec completion: a script that makes a shell complete commands, flags and files."""

import argparse
from functools import partial
from typing import Any

from ..problems import missing

SHELLS = ("bash", "zsh", "fish", "tcsh")


def add(commands: Any, parser: argparse.ArgumentParser) -> None:
    """Add the command; it completes what `parser` takes."""
    command = commands.add_parser(
        "completion", help="print a script for the shell's completion",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Print a script that makes a shell complete commands, flags and files.",
        epilog='examples:\n  eval "$(paravec completion bash)"    # in ~/.bashrc\n'
               "  paravec completion fish > ~/.config/fish/completions/paravec.fish",
    )  # fmt: skip
    command.add_argument("shell", choices=SHELLS, help="the shell")
    command.set_defaults(run=partial(_completion, parser, commands))


def _completion(parser: argparse.ArgumentParser, commands: Any, arguments: argparse.Namespace) -> int:
    try:
        import shtab
    except ImportError:
        raise missing("shtab", "completion", "'paravec[cli]'") from None
    for command in commands.choices.values():
        for action in command._actions:
            if action.metavar == "FILE":
                action.complete = shtab.FILE
    print(shtab.complete(parser, arguments.shell))
    return 0
