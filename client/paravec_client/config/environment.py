"""Reads the fields of a configuration from environment variables."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_args

from ..errors import ConfigError


def read_fields(config_type: Any, prefix: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a dataclass that have a variable, `PREFIX_FIELD`; an empty variable counts as unset.

    A field that is a dataclass is read from `PREFIX_FIELD_SUBFIELD`. If its default is None, `PREFIX_FIELD=yes` sets it
    with its own defaults. ConfigError names the variable whose value is invalid.
    """
    values: dict[str, Any] = {}
    for item in fields(config_type):
        variable = f"{prefix}_{item.name.upper()}"
        # Of `float | None` and `str | PathLike | None`, the first type is read.
        value_type: Any = (get_args(item.type) or (item.type,))[0]
        if is_dataclass(value_type):
            value = _read_group(value_type, variable, environment, optional=item.default is None)
        else:
            value = _read_value(value_type, variable, environment)
        if value is not None:
            values[item.name] = value
    return values


def _read_group(group_type: Any, variable: str, environment: Mapping[str, str], *, optional: bool) -> Any:
    values = read_fields(group_type, variable, environment)
    if values or (optional and _read_value(bool, variable, environment)):
        return group_type(**values)
    return None


def _read_value(value_type: type, variable: str, environment: Mapping[str, str]) -> Any:
    text = environment.get(variable)
    if not text:
        return None
    parse, expected = _PARSERS[value_type]
    try:
        return parse(text)
    except ValueError:
        # Text never fails to parse, so this message cannot contain the token.
        raise ConfigError(f"{variable}: must be {expected}, not {text!r}") from None


def _parse_bool(text: str) -> bool:
    try:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError(text) from None


_PARSERS: dict[type, tuple[Callable[[str], Any], str]] = {
    str: (str, "text"),
    float: (float, "a number"),
    int: (int, "a whole number"),
    bool: (_parse_bool, "yes or no"),
}
