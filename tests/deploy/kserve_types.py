"""Checks manifests against the types of KServe's package for Python, which are made from its CRDs; runs where that is
installed. Prints a line for each field that KServe does not have or that has another type.

    python kserve_types.py <manifests.json
"""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

KINDS = {"ServingRuntime": "V1alpha1ServingRuntime", "InferenceService": "V1beta1InferenceService"}

PLAIN: dict[str, Any] = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}


def named(kind: str) -> Any:
    """A type of KServe or Kubernetes."""
    for module in ("kserve.models", "kubernetes.client.models"):
        if found := getattr(importlib.import_module(module), kind, None):
            return found
    raise LookupError(kind)


def problems(kind: str, value: Any, where: str) -> Iterator[str]:
    """What is wrong with a value that should be of a type, by the names that OpenAPI's generator gives types."""
    if kind in PLAIN:
        if not isinstance(value, PLAIN[kind]) or (kind == "int" and isinstance(value, bool)):
            yield f"{where}: {value!r} is no {kind}"
    elif inner := re.fullmatch(r"[lL]ist\[(.*)\]", kind):
        for i, item in enumerate(value):
            yield from problems(inner[1], item, f"{where}[{i}]")
    elif inner := re.fullmatch(r"[dD]ict[\[(]str, (.*)[\])]", kind):
        for key, item in value.items():
            yield from problems(inner[1], item, f"{where}.{key}")
    elif not isinstance(value, dict):
        yield f"{where}: {value!r} is no {kind}"
    else:
        yield from fields(named(kind), value, where)


def fields(kind: Any, value: dict[str, Any], where: str) -> Iterator[str]:
    """What is wrong with the fields of an object; its constructor refuses an object without those that it needs."""
    names = {external: name for name, external in kind.attribute_map.items()}
    for key, item in value.items():
        if key in names:
            yield from problems(kind.openapi_types[names[key]], item, f"{where}.{key}")
        else:
            yield f"{where}: no field {key}"
    try:
        kind(**{names[key]: item for key, item in value.items() if key in names})
    except ValueError as error:
        yield f"{where}: {error}"


def main() -> int:
    """Check the JSON list on standard input."""
    found = [line for one in json.load(sys.stdin) for line in problems(KINDS[one["kind"]], one, one["kind"])]
    print("".join(f"{line}\n" for line in found), end="")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
