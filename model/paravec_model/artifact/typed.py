"""Dataclasses from parsed JSON, whose types are checked."""

from dataclasses import fields
from types import UnionType
from typing import Any, TypeVar, get_type_hints

from ..errors import OptionError

T = TypeVar("T")


def typed(kind: type[T], values: Any, where: str) -> T:
    """Make a dataclass from parsed JSON. OptionError for a missing or unknown field, or one of a wrong type."""
    if not isinstance(values, dict):
        raise OptionError(where, "must be an object")
    hints = get_type_hints(kind)
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if known != values.keys():
        raise OptionError(where, f"has other fields than expected: {', '.join(sorted(known ^ values.keys()))}")
    for name, value in values.items():
        hint = hints[name]
        plain = hint if isinstance(hint, type | UnionType) else getattr(hint, "__origin__", object)
        if plain is float and isinstance(value, int) and not isinstance(value, bool):
            value = values[name] = float(value)
        if isinstance(plain, type | UnionType) and not isinstance(value, plain):
            raise OptionError(f"{where}.{name}", f"has the wrong type {type(value).__name__}")
        if plain in (int, float) and isinstance(value, bool):
            raise OptionError(f"{where}.{name}", "has the wrong type bool")
    return kind(**values)
