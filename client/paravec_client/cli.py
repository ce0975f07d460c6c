"""The command paravec: embed texts, find similar documents, describe the model, ask for health."""

import argparse
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from typing import Any, get_args

from .client import EmbeddingClient
from .config import ClientConfig, Tls
from .errors import (
    ConfigError,
    DeadlineError,
    InvalidArgumentError,
    OverloadedError,
    ParavecError,
    UnauthenticatedError,
    UnavailableError,
)
from .types import Embedding, InferenceOptions, ModelInfo

# Exit codes by kind of failure; 2 is argparse's for a wrong command line, too, and 1 any other.
EXIT_CODES: tuple[tuple[type[ParavecError], int], ...] = (
    (InvalidArgumentError, 3),
    (UnavailableError, 4),
    (DeadlineError, 5),
    (OverloadedError, 6),
    (UnauthenticatedError, 7),
    (ConfigError, 2),
)


# Lines of standard input that are looked for in one call.
_TOGETHER = 64

_TLS_FILES = {
    "tls_ca": "authorities that the server's certificate goes back to",
    "tls_cert": "certificate to show to the server",
    "tls_key": "its private key",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    arguments = _parser().parse_args(argv)
    try:
        # Texts given as arguments are one call; a stream of lines takes as long as its lines do.
        whole = arguments.timeout if getattr(arguments, "texts", None) else ClientConfig.stream_timeout
        config = ClientConfig(
            arguments.target,
            timeout=arguments.timeout,
            stream_timeout=whole,
            tls=_tls(arguments),
            token_file=arguments.token_file,
        )
        with EmbeddingClient(config=config) as client:
            code: int = arguments.run(client, arguments)
        sys.stdout.flush()
    except ParavecError as error:
        print(f"paravec: {error or error.code}", file=sys.stderr)
        return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)
    except UnicodeDecodeError as error:
        print(f"paravec: standard input is not UTF-8: {error.reason}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="paravec", description="Use a paravec server.", formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"paravec {version('paravec')}")
    common = argparse.ArgumentParser(add_help=False)
    target = os.environ.get("PARAVEC_TARGET") or "localhost:50051"
    common.add_argument("--target", default=target, help="host:port of the server (PARAVEC_TARGET) [%(default)s]")
    common.add_argument("--timeout", type=float, default=30.0, help="seconds that a call may take [%(default)s]")
    common.add_argument("--tls", action="store_true", help="speak TLS; so does each of the next four")
    for flag, told in _TLS_FILES.items():
        variable = f"PARAVEC_{flag.upper()}"
        given = os.environ.get(variable) or None
        common.add_argument("--" + flag.replace("_", "-"), default=given, metavar="FILE", help=f"{told} ({variable})")
    common.add_argument("--tls-server-name", metavar="NAME", help="the name that its certificate is for [the target's]")
    # A token itself is no flag: everybody on the machine can read a process's command line.
    token = os.environ.get("PARAVEC_TOKEN_FILE") or None
    common.add_argument("--token-file", default=token, metavar="FILE", help="bearer token (PARAVEC_TOKEN_FILE)")
    common.add_argument("--format", choices=("table", "json"), help="table for people, JSON for machines"
                        " [table on a terminal, else json]")  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    embed = commands.add_parser(
        "embed", parents=[common], help="embed texts", formatter_class=raw,
        description="Embed texts given as arguments, or the lines of standard input.",
        epilog='examples:\n  paravec embed "how do I print a page?"\n  paravec embed --format json < texts.txt',
    )  # fmt: skip
    _add_inference(embed)
    embed.set_defaults(run=_embed)

    similar = commands.add_parser(
        "similar", parents=[common], help="find the training documents nearest to texts", formatter_class=raw,
        description="Find the training documents nearest to texts given as arguments, or to lines of standard input.",
        epilog='examples:\n  paravec similar --top-k 5 "how do I print a page?"\n'
               "  paravec similar --format json < texts.txt",
    )  # fmt: skip
    similar.add_argument("--top-k", type=int, default=10, metavar="N", help="documents for each text [%(default)s]")
    _add_inference(similar)
    similar.set_defaults(run=_similar)

    model = commands.add_parser("model", parents=[common], help="describe the model that the server holds")
    model.set_defaults(run=_model)

    health = commands.add_parser(
        "health", parents=[common], help="ask whether the server is ready",
        description="Ask whether the server is ready to embed: exit code 0 if it is, 4 if not.",
    )  # fmt: skip
    health.add_argument("--wait", type=float, metavar="SECONDS", help="wait that long for it to become ready")
    health.set_defaults(run=_health)
    return parser


def _add_inference(command: argparse.ArgumentParser) -> None:
    """Texts and how to infer their vectors."""
    command.add_argument("texts", nargs="*", metavar="TEXT", help="a text; without any, each line of standard input")
    methods = get_args(get_args(InferenceOptions.__annotations__["method"])[0])
    command.add_argument("--method", choices=methods, help="how to infer [the model's default, as all below]")
    command.add_argument("--epochs", type=int, help="passes over each text")
    command.add_argument("--alpha", type=float, help="learning rate of the first pass")
    command.add_argument("--min-alpha", type=float, help="learning rate of the last pass")
    command.add_argument("--seed", type=int, help="seed of all random draws")
    command.add_argument("--normalize", action=argparse.BooleanOptionalAction, help="scale vectors to unit length")
    command.add_argument("--truncate", action="store_true", help="embed the beginning of a text that is too long")


def _tls(arguments: argparse.Namespace) -> Tls | None:
    given = {"server_name": arguments.tls_server_name}
    given |= {name.removeprefix("tls_"): getattr(arguments, name) for name in _TLS_FILES}
    return Tls(**given) if arguments.tls or any(given.values()) else None


def _embed(client: EmbeddingClient, arguments: argparse.Namespace) -> int:
    texts, options = _texts(arguments), _options(arguments)
    remembered: list[str] = []
    outcomes = client.embed_stream(_remembering(texts, remembered), options)
    table = _for_people(arguments)
    if table:
        print(f"{'known/tokens':>12}  {'length':>7}  text and vector")
    for outcome in outcomes:
        assert isinstance(outcome, Embedding)  # noqa: S101  errors are raised
        text = remembered.pop(0)
        if table:
            print(_row(text, outcome))
        else:
            vector = [float(str(x)) for x in outcome.vector]
            print(json.dumps({"text": text} | asdict(outcome) | {"vector": vector}))
    return 0


def _texts(arguments: argparse.Namespace) -> Iterable[str]:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")
    return arguments.texts or (line.rstrip("\r\n") for line in sys.stdin)


def _options(arguments: argparse.Namespace) -> InferenceOptions:
    return InferenceOptions(
        method=arguments.method,
        epochs=arguments.epochs,
        alpha=arguments.alpha,
        min_alpha=arguments.min_alpha,
        seed=arguments.seed,
        normalize=arguments.normalize,
        truncate=arguments.truncate,
    )


def _similar(client: EmbeddingClient, arguments: argparse.Namespace) -> int:
    texts, options = iter(_texts(arguments)), _options(arguments)
    while some := list(islice(texts, _TOGETHER)):
        for text, similar in zip(some, client.find_similar(some, arguments.top_k, options), strict=True):
            if not _for_people(arguments):
                print(json.dumps({"text": text} | asdict(similar)))
                continue
            print(f"{similar.known_token_count}/{similar.token_count} tokens known  {_shown(text, 60)}")
            for near in similar.neighbours:
                print(f"{near.cosine:8.3f}  {_shown(str(near.tag), 100)}")
    return 0


def _shown(text: str, width: int) -> str:
    """The beginning of a text, with nothing in it that a terminal would act on."""
    short = text if len(text) <= width else text[: width - 1] + "…"
    return "".join(c if c.isprintable() else " " for c in short)


def _remembering(texts: Iterable[str], remembered: list[str]) -> Iterator[str]:
    for text in texts:
        remembered.append(text)
        yield text


def _row(text: str, embedding: Embedding) -> str:
    counts = f"{embedding.known_token_count}/{embedding.token_count}"
    length = float((embedding.vector**2).sum() ** 0.5)
    vector = " ".join(f"{x:+.3f}" for x in embedding.vector[:6]) + (" ..." if len(embedding.vector) > 6 else "")
    return f"{counts:>12}  {length:7.3f}  {_shown(text, 40):<40}  {vector}"


def _model(client: EmbeddingClient, arguments: argparse.Namespace) -> int:
    model = client.model()
    if not _for_people(arguments):
        print(json.dumps(asdict(model)))
        return 0
    for name, value in _flat(model):
        print(f"{name:<28} {value}")
    return 0


def _flat(model: ModelInfo) -> Iterator[tuple[str, Any]]:
    for name, value in asdict(model).items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items() if inner is not None)
        else:
            yield name, ", ".join(value) if isinstance(value, tuple | list) else value


def _health(client: EmbeddingClient, arguments: argparse.Namespace) -> int:
    if arguments.wait is not None:
        client.wait_until_ready(arguments.wait)
    process, service = client.health(""), client.health()
    if _for_people(arguments):
        print(f"process {process}\nembedding {service}")
    else:
        print(json.dumps({"process": process, "embedding": service}))
    return 0 if service == "SERVING" else 4


def _for_people(arguments: argparse.Namespace) -> bool:
    return bool(arguments.format == "table" or (arguments.format is None and sys.stdout.isatty()))


if __name__ == "__main__":
    sys.exit(main())
