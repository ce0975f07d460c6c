"""The command `paravec`: embeds texts, finds similar documents and their vectors, describes model and health."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from .. import (
    ConfigError,
    DeadlineError,
    InvalidArgumentError,
    OverloadedError,
    ParavecError,
    UnauthenticatedError,
    UnavailableError,
)
from .commands import completion, embed, similar, status, vectors
from .commands.flags import common_flags
from .errors import CommandError

# Exit code 1 is for other errors. argparse, too, exits with 2 for a wrong command line.
EXIT_CODES: tuple[tuple[type[ParavecError], int], ...] = (
    (InvalidArgumentError, 3),
    (UnavailableError, 4),
    (DeadlineError, 5),
    (OverloadedError, 6),
    (UnauthenticatedError, 7),
    (ConfigError, 2),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with arguments, by default those of the process. Returns the exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except CommandError as error:
        print(f"paravec: {error}", file=sys.stderr)
        return error.exit_code
    except ParavecError as error:
        print(f"paravec: {error or error.code}", file=sys.stderr)
        return next((code for error_type, code in EXIT_CODES if isinstance(error, error_type)), 1)
    except BrokenPipeError:
        # Without this, Python reports the broken pipe once more when it flushes standard output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="paravec", description="Use a paravec server.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (embed, similar, vectors, status):
        command.add(commands, common_flags())
    completion.add(commands, parser)
    return parser


class _Version(argparse.Action):
    """Looks up the version only when asked for: without an installed distribution there is none."""

    def __call__(self, parser: argparse.ArgumentParser, *_others: Any) -> None:
        print(f"paravec {version('paravec')}")
        parser.exit()
