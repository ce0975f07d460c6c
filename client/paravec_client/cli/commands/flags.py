"""The flags that commands share: where the server is, and how to infer."""

import argparse
import sys
from dataclasses import fields, replace
from typing import get_args

from ... import ClientConfig, EmbeddingClient, InferenceOptions, Tls

_TLS_FILES = {
    "tls_ca": "authorities that the server's certificate goes back to",
    "tls_cert": "certificate to show to the server",
    "tls_key": "its private key",
}


def common() -> argparse.ArgumentParser:
    """What every command that asks a server has."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--target", help=f"host:port of the server (PARAVEC_TARGET) [{ClientConfig.target}]")
    parser.add_argument("--timeout", type=float, metavar="SECONDS",
                        help=f"for a call (PARAVEC_TIMEOUT) [{ClientConfig.timeout:g}]")  # fmt: skip
    parser.add_argument("--tls", action="store_true", help="speak TLS (PARAVEC_TLS=yes); so does each of the next four")
    for flag, told in _TLS_FILES.items():
        told += f" (PARAVEC_{flag.upper()})"
        parser.add_argument("--" + flag.replace("_", "-"), metavar="FILE", help=told)
    parser.add_argument("--tls-server-name", metavar="NAME", help="the name that its certificate is for [the target's]")
    # A token itself is no flag: everybody on the machine can read a process's command line.
    parser.add_argument("--token-file", metavar="FILE", help="bearer token (PARAVEC_TOKEN_FILE)")
    parser.add_argument("--format", choices=("table", "json"), help="table for people, JSON for machines"
                        " [table on a terminal, else json]")  # fmt: skip
    return parser


def client_of(arguments: argparse.Namespace) -> EmbeddingClient:
    """A client of the server that the flags name."""
    given = {name.removeprefix("tls_"): getattr(arguments, name) for name in ("tls_server_name", *_TLS_FILES)}
    given = {name: value for name, value in given.items() if value}
    changes = {name: getattr(arguments, name) for name in ("target", "timeout", "token_file")}
    config = ClientConfig.from_environment(**{name: value for name, value in changes.items() if value is not None})
    if arguments.tls or given:
        config = replace(config, tls=replace(config.tls or Tls(), **given))
    if getattr(arguments, "texts", None):
        # They are one call; a stream of lines takes as long as its lines do.
        config = replace(config, stream_timeout=config.timeout)
    return EmbeddingClient(config=config)


def for_people(arguments: argparse.Namespace) -> bool:
    """Whether a table is wanted, not JSON."""
    return bool(arguments.format == "table" or (arguments.format is None and sys.stdout.isatty()))


def add_inference(command: argparse.ArgumentParser) -> None:
    """How to infer vectors."""
    group = command.add_argument_group("inference", "each is the model's default unless given")
    methods = get_args(get_args(InferenceOptions.__annotations__["method"])[0])
    group.add_argument("--method", choices=methods, help="how to infer")
    group.add_argument("--epochs", type=int, help="passes over each text")
    group.add_argument("--alpha", type=float, help="learning rate of the first pass")
    group.add_argument("--min-alpha", type=float, help="learning rate of the last pass")
    group.add_argument("--seed", type=int, help="seed of all random draws")
    group.add_argument("--normalize", action=argparse.BooleanOptionalAction, help="scale vectors to unit length")
    group.add_argument("--truncate", action="store_true", help="embed the beginning of a text that is too long")


def options_of(arguments: argparse.Namespace) -> InferenceOptions:
    """The options that the flags give."""
    return InferenceOptions(**{field.name: getattr(arguments, field.name) for field in fields(InferenceOptions)})
