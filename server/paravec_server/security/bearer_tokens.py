"""Who may call: bearer tokens from a file."""

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from ..settings import SettingsError, names_of
from .reloaded_files import Renewed, read

_TOKEN = re.compile(rb"[!-~]+")


class Tokens:
    """Lets in calls that carry `authorization: Bearer <token>` with a token of the file."""

    def __init__(self, file: Path) -> None:
        """SettingsError if the file holds no tokens."""
        self._digests = Renewed("tokens", [file], lambda: _read(file))

    def allow(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Whether a call with this metadata may come in.

        A set holds the tokens' digests, so the time does not grow with their number. A lookup's time may depend on the
        digest of what was sent, and that tells nothing: no token follows from a part of its SHA-256.
        """
        given = next((value for key, value in metadata if key == "authorization"), "")
        scheme, _, token = (given if isinstance(given, str) else "").partition(" ")
        known = _digest(token.strip().encode()) in self._digests.get()
        return known and scheme.lower() == "bearer"


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()


def _read(file: Path) -> frozenset[bytes]:
    """The digests of the tokens in a file: one a line; what follows a # that begins a word is a remark."""
    setting, digests = names_of("tokens_file"), set()
    for number, line in enumerate(read("tokens_file", file).splitlines(), 1):
        words = re.split(rb"(?:^|\s)#", line, maxsplit=1)[0].split()
        if not words:
            continue
        if len(words) > 1 or not _TOKEN.fullmatch(words[0]):
            raise SettingsError(f"{setting}: {file}: line {number} is not one token of printable ASCII characters")
        digests.add(_digest(words[0]))
    if not digests:
        raise SettingsError(f"{setting}: {file}: holds no token")
    return frozenset(digests)
