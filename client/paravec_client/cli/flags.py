"""The flags that commands share: where the server is, and how to infer."""

import argparse
import os
import sys
from typing import get_args

from .. import ClientConfig, EmbeddingClient, InferenceOptions, Tls

_TLS_FILES = {
    "tls_ca": "authorities that the server's certificate goes back to",
    "tls_cert": "certificate to show to the server",
    "tls_key": "its private key",
}


def common() -> argparse.ArgumentParser:
    """What every command that asks a server has."""
    parser = argparse.ArgumentParser(add_help=False)
    target = os.environ.get("PARAVEC_TARGET") or "localhost:50051"
    parser.add_argument("--target", default=target, help="host:port of the server (PARAVEC_TARGET) [%(default)s]")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S",
                        help="seconds that a call may take [%(default)s]")  # fmt: skip
    parser.add_argument("--tls", action="store_true", help="speak TLS; so does each of the next four")
    for flag, told in _TLS_FILES.items():
        variable = f"PARAVEC_{flag.upper()}"
        given = os.environ.get(variable) or None
        parser.add_argument("--" + flag.replace("_", "-"), default=given, metavar="FILE", help=f"{told} ({variable})")
    parser.add_argument("--tls-server-name", metavar="NAME", help="the name that its certificate is for [the target's]")
    # A token itself is no flag: everybody on the machine can read a process's command line.
    token = os.environ.get("PARAVEC_TOKEN_FILE") or None
    parser.add_argument("--token-file", default=token, metavar="FILE", help="bearer token (PARAVEC_TOKEN_FILE)")
    parser.add_argument("--format", choices=("table", "json"), help="table for people, JSON for machines"
                        " [table on a terminal, else json]")  # fmt: skip
    return parser


def client_of(arguments: argparse.Namespace) -> EmbeddingClient:
    """A client of the server that the flags name."""
    # Texts given as arguments are one call; a stream of lines takes as long as its lines do.
    whole = arguments.timeout if getattr(arguments, "texts", None) else ClientConfig.stream_timeout
    given = {"server_name": arguments.tls_server_name}
    given |= {name.removeprefix("tls_"): getattr(arguments, name) for name in _TLS_FILES}
    config = ClientConfig(
        arguments.target,
        timeout=arguments.timeout,
        stream_timeout=whole,
        tls=Tls(**given) if arguments.tls or any(given.values()) else None,
        token_file=arguments.token_file,
    )
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
    return InferenceOptions(
        method=arguments.method,
        epochs=arguments.epochs,
        alpha=arguments.alpha,
        min_alpha=arguments.min_alpha,
        seed=arguments.seed,
        normalize=arguments.normalize,
        truncate=arguments.truncate,
    )
