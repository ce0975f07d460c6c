"""paravec model and paravec health: what a server says of itself."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ... import ModelInfo
from .flags import client_of, for_people


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add both commands."""
    model = commands.add_parser("model", parents=[common], help="describe the model that the server holds")
    model.set_defaults(run=_model)

    health = commands.add_parser(
        "health", parents=[common], help="ask whether the server is ready",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Ask whether the server is ready to embed: exit code 0 if it is, 4 if not.",
        epilog="examples:\n  paravec health --wait 60 && paravec embed < texts.txt\n"
               "  paravec health --timeout 1 >/dev/null    # as an exec probe",
    )  # fmt: skip
    health.add_argument("--wait", type=float, metavar="SECONDS", help="wait that long for it to become ready")
    health.set_defaults(run=_health)


def _model(arguments: argparse.Namespace) -> int:
    with client_of(arguments) as client:
        model = client.model()
    if not for_people(arguments):
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


def _health(arguments: argparse.Namespace) -> int:
    with client_of(arguments) as client:
        if arguments.wait is not None:
            client.wait_until_ready(arguments.wait)
        process, service = client.health(""), client.health()
    if for_people(arguments):
        print(f"process {process}\nembedding {service}")
    else:
        print(json.dumps({"process": process, "embedding": service}))
    return 0 if service == "SERVING" else 4
