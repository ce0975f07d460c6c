"""Who may call: bearer tokens from a file."""

import re
from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

from .files import Renewed, read
from .settings import SettingsError, names_of

_TOKEN = re.compile(rb"[!-~]+")


class Tokens:
    """Lets in calls that carry `authorization: Bearer <token>` with a token of the file."""

    def __init__(self, file: Path) -> None:
        """SettingsError if the file holds no tokens."""
        self._digests = Renewed("tokens", [file], lambda: _read(file))

    def allow(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Whether a call with this metadata may come in.

        Each token is compared, and each by its digest: neither which one it was, nor how long or how nearly right, is
        told by the time this takes.
        """
        given = next((value for key, value in metadata if key == "authorization"), "")
        scheme, _, token = (given if isinstance(given, str) else "").partition(" ")
        digest = _digest(token.strip().encode())
        known = sum([compare_digest(digest, one) for one in self._digests.get()])
        return known > 0 and scheme.lower() == "bearer"


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()


def _read(file: Path) -> list[bytes]:
    """The digests of the tokens in a file: one a line; what follows a # that begins a word is a remark."""
    setting, digests = names_of("tokens_file"), []
    for number, line in enumerate(read("tokens_file", file).splitlines(), 1):
        words = re.split(rb"(?:^|\s)#", line, maxsplit=1)[0].split()
        if not words:
            continue
        if len(words) > 1 or not _TOKEN.fullmatch(words[0]):
            raise SettingsError(f"{setting}: {file}: line {number} is not one token of printable ASCII characters")
        digests.append(_digest(words[0]))
    if not digests:
        raise SettingsError(f"{setting}: {file}: holds no token")
    return digests
