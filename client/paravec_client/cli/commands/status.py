"""paravec model and paravec health: describe the model, check whether the server is ready."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ... import ModelInfo
from .flags import make_client
from .tables import wants_table


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add both commands."""
    model = commands.add_parser("model", parents=[common], help="describe the model that the server holds")
    model.set_defaults(run=_model)

    health = commands.add_parser(
        "health", parents=[common], help="check whether the server is ready",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Check whether the server is ready to embed. The exit code is 0 if it is, else 4.",
        epilog="examples:\n  paravec health --wait 60 && paravec embed < texts.txt\n"
               "  paravec health --timeout 1 >/dev/null    # as an exec probe",
    )  # fmt: skip
    health.add_argument("--wait", type=float, metavar="SECONDS", help="wait up to SECONDS until it is ready")
    health.set_defaults(run=_health)


def _model(arguments: argparse.Namespace) -> int:
    with make_client(arguments) as client:
        model = client.model()
    if not wants_table(arguments):
        print(json.dumps(asdict(model)))
        return 0
    for name, value in _flatten(model):
        print(f"{name:<28} {value}")
    return 0


def _flatten(model: ModelInfo) -> Iterator[tuple[str, Any]]:
    for name, value in asdict(model).items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items() if inner is not None)
        else:
            yield name, ", ".join(value) if isinstance(value, tuple | list) else value


def _health(arguments: argparse.Namespace) -> int:
    with make_client(arguments) as client:
        if arguments.wait is not None:
            client.wait_until_ready(arguments.wait)
        process, service = client.health(""), client.health()
    if wants_table(arguments):
        print(f"process {process}\nembedding {service}")
    else:
        print(json.dumps({"process": process, "embedding": service}))
    return 0 if service == "SERVING" else 4
