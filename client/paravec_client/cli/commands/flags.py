"""Flags that commands share, for the connection and for inference."""

import argparse
from dataclasses import fields, replace
from typing import get_args

from ... import ClientConfig, EmbeddingClient, InferenceOptions, Tls

_TLS_FILES = {
    "tls_ca": "certificates of the authorities to trust",
    "tls_cert": "client certificate",
    "tls_key": "private key of the client certificate",
}


def common_flags() -> argparse.ArgumentParser:
    """The flags of every command that calls the server."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--target", help=f"address of the server, host:port (PARAVEC_TARGET) [{ClientConfig.target}]")
    parser.add_argument("--timeout", type=float, metavar="SECONDS",
                        help=f"timeout of a call (PARAVEC_TIMEOUT) [{ClientConfig.timeout:g}]")  # fmt: skip
    parser.add_argument("--tls", action="store_true", help="use TLS (PARAVEC_TLS=yes); the next four flags imply it")
    for name, text in _TLS_FILES.items():
        flag, variable = "--" + name.replace("_", "-"), f"PARAVEC_{name.upper()}"
        parser.add_argument(flag, metavar="FILE", help=f"{text} ({variable})")
    parser.add_argument(
        "--tls-server-name", metavar="NAME", help="name in the server's certificate [the target's host]"
    )
    # There is no flag for the token itself, because every user of the machine can read command lines.
    parser.add_argument("--token-file", metavar="FILE", help="file with the bearer token (PARAVEC_TOKEN_FILE)")
    parser.add_argument("--format", choices=("table", "json"), help="format on standard output"
                        " [table on a terminal, else json]")  # fmt: skip
    return parser


def make_client(arguments: argparse.Namespace) -> EmbeddingClient:
    """A client with the settings of the flags and the environment."""
    tls = {name.removeprefix("tls_"): getattr(arguments, name) for name in ("tls_server_name", *_TLS_FILES)}
    tls = {name: value for name, value in tls.items() if value}
    flags = {name: getattr(arguments, name) for name in ("target", "timeout", "token_file")}
    config = ClientConfig.from_environment(**{name: value for name, value in flags.items() if value is not None})
    if arguments.tls or tls:
        config = replace(config, tls=replace(config.tls or Tls(), **tls))
    if getattr(arguments, "texts", None):
        # Texts of the command line are embedded as a stream too, but the timeout is for all of them, as for one call.
        config = replace(config, stream_timeout=config.timeout)
    return EmbeddingClient(config=config)


def add_inference_flags(command: argparse.ArgumentParser) -> None:
    """Add a flag for each field of `InferenceOptions`."""
    group = command.add_argument_group("inference", "the model's defaults unless given")
    methods = get_args(get_args(InferenceOptions.__annotations__["method"])[0])
    group.add_argument("--method", choices=methods, help="inference method")
    group.add_argument("--epochs", type=int, help="passes over each text")
    group.add_argument("--alpha", type=float, help="learning rate of the first pass")
    group.add_argument("--min-alpha", type=float, help="learning rate of the last pass")
    group.add_argument("--seed", type=int, help="seed of all random draws")
    group.add_argument("--normalize", action=argparse.BooleanOptionalAction, help="scale vectors to unit L2 norm")
    group.add_argument("--truncate", action="store_true", help="embed the beginning of a text that has too many tokens")


def make_options(arguments: argparse.Namespace) -> InferenceOptions:
    """The options that the flags set."""
    return InferenceOptions(**{field.name: getattr(arguments, field.name) for field in fields(InferenceOptions)})
