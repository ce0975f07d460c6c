"""Authentication by bearer tokens, which a file lists."""

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from ..settings import SettingsError, setting_names
from .reloaded_files import ReloadedFiles, read_file

_TOKEN = re.compile(rb"[!-~]+")


class BearerTokens:
    """Allows calls whose metadata has `authorization: Bearer <token>` with a token of the file."""

    def __init__(self, file: Path) -> None:
        """Raises SettingsError if the file holds no token or cannot be read."""
        self._digests = ReloadedFiles("tokens", [file], lambda: _read_digests(file))

    def allow(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Whether a call with this metadata may proceed.

        A set of digests makes the time independent of the number of tokens. The time of a lookup may depend on the
        digest of the given token, which reveals nothing: a part of a SHA-256 does not lead back to a token.
        """
        given = next((value for key, value in metadata if key == "authorization"), "")
        scheme, _, token = (given if isinstance(given, str) else "").partition(" ")
        known = _digest(token.strip().encode()) in self._digests.get()
        return known and scheme.lower() == "bearer"


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()


def _read_digests(file: Path) -> frozenset[bytes]:
    """The digests of a file's tokens, one per line. A # at the start of a line or after a space starts a comment."""
    setting, digests = setting_names("tokens_file"), set()
    for number, line in enumerate(read_file("tokens_file", file).splitlines(), 1):
        fields = re.split(rb"(?:^|\s)#", line, maxsplit=1)[0].split()
        if not fields:
            continue
        if len(fields) > 1 or not _TOKEN.fullmatch(fields[0]):
            raise SettingsError(f"{setting}: {file}: line {number} must be one token of printable ASCII characters")
        digests.add(_digest(fields[0]))
    if not digests:
        raise SettingsError(f"{setting}: {file}: holds no token; make one, e.g. by: openssl rand -hex 32")
    return frozenset(digests)
