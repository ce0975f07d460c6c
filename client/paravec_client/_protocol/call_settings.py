"""The settings of one call: timeout and metadata."""

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from numbers import Real
from typing import Any, NamedTuple

from ..errors import FieldViolation, InvalidArgumentError

Metadata = tuple[tuple[str, str | bytes], ...]

MetadataLike = Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]
"""Metadata of a call: lower-case names with values of printable ASCII, or of bytes if the name ends in -bin."""

_NAME = re.compile(r"(?!grpc-)[0-9a-z_.-]+")
_VALUE = re.compile(r"[ -~]*")


class CallSettings(NamedTuple):
    """Settings of one call, or of each call of a list or stream."""

    timeout: float | None = None
    """Seconds for all attempts, in a stream for each attempt; None for the client's timeout."""
    metadata: Metadata = ()


def call_settings(timeout: float | None, metadata: MetadataLike | None) -> CallSettings:
    """The settings that the caller's arguments mean; InvalidArgumentError for invalid ones."""
    if timeout is not None:
        timeout = check_timeout(timeout)
    return CallSettings(timeout, _pairs(metadata) if metadata else ())


def check_timeout(timeout: float) -> float:
    """The timeout as a float; InvalidArgumentError unless it is a finite number above 0."""
    if not isinstance(timeout, Real) or isinstance(timeout, bool) or not (isfinite(timeout) and timeout > 0):
        raise invalid("timeout", f"must be a number of seconds, more than 0, not {timeout!r}")
    return float(timeout)


def invalid(path: str, problem: str) -> InvalidArgumentError:
    """The error for a field that the client itself rejects."""
    return InvalidArgumentError(
        f"{path}: {problem}", code="INVALID_ARGUMENT", violations=[FieldViolation(path, problem)]
    )


def _pairs(metadata: MetadataLike) -> Metadata:
    expected = 'must be a dict or pairs of names and values, e.g. {"x-request-id": "..."}'
    try:
        pairs = tuple((key, value) for key, value in (metadata.items() if isinstance(metadata, Mapping) else metadata))
    except (TypeError, ValueError):
        raise invalid("metadata", expected) from None
    for key, value in pairs:
        _check_pair(key, value)
    return pairs


def _check_pair(key: Any, value: Any) -> None:
    # Values may be secrets, so no message contains one.
    if not isinstance(key, str) or not _NAME.fullmatch(key):
        raise invalid(
            "metadata",
            f"a name must have lower-case letters, digits and _ . - only, and not begin with grpc-: {key!r}",
        )
    if key.endswith("-bin"):
        if not isinstance(value, bytes):
            raise invalid("metadata", f"the value of {key} must be bytes, because its name ends in -bin")
    elif not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise invalid("metadata", f"the value of {key} must be a str of printable ASCII characters")
