"""Checks the signature of an artifact."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..artifact.manifest import SIGNATURE
from ..errors import SignatureError
from .bundle import parse_bundle
from .files import read_regular
from .keys import read_public_keys, signed
from .statement import Statement, parse_statement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey


@dataclass(frozen=True)
class Verifier:
    """Accepts artifacts that the private half of one of some public keys has signed."""

    keys: "tuple[EllipticCurvePublicKey, ...]"
    source: Path
    """The file that holds the keys, for messages."""

    @classmethod
    def read(cls, file: str | Path) -> "Verifier":
        """Read the public keys from a PEM file. OptionError, of `key`, if there is none, or one of another kind."""
        return cls(read_public_keys(Path(file)), Path(file))

    def signed_files(self, directory: Path) -> dict[str, str]:
        """SHA-256, in hexadecimal, of each file that the signature of the artifact at `directory` covers.

        SignatureError if the signature is missing, wrong or of another key, or if the directory holds what it does not
        cover. The files themselves are not read: their hashes are for the caller to compare.
        """
        statement = self._statement(directory)
        _check_entries(directory, statement)
        return statement.files

    def _statement(self, directory: Path) -> Statement:
        file = directory / SIGNATURE
        try:
            envelope = parse_bundle(read_regular(file))
            content = envelope.signed_bytes
            if not any(signed(key, envelope.signature, content) for key in self.keys):
                raise SignatureError(
                    f"{file}: was not made by the key in {self.source}, or was changed;"
                    " sign the artifact with its private key"
                )
            return parse_statement(envelope.payload)
        except FileNotFoundError:
            raise SignatureError(
                f"{file}: not found: the artifact is not signed; sign it: model_signing sign key {directory}"
                f" --private_key KEY --signature {file}"
            ) from None
        except OSError as error:
            raise SignatureError(f"{file}: {error.strerror}") from error
        except RecursionError:
            raise SignatureError(f"{file}: is no signature of a model: its JSON is too deep") from None
        except ValueError as error:
            raise SignatureError(
                f"{file}: is no signature of a model that this paravec can check: {error};"
                " sign the artifact again, with the defaults of model_signing"
            ) from None


def _check_entries(directory: Path, statement: Statement) -> None:
    """SignatureError if the directory holds more than regular files that are signed, ignored, or the signature."""
    known = statement.files.keys() | statement.ignored | {SIGNATURE}
    try:
        with os.scandir(directory) as entries:
            found = {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in entries}
    except OSError as error:
        raise SignatureError(f"{directory}: {error.strerror}") from error
    if extra := sorted(found.keys() - known):
        raise SignatureError(
            f"{directory}: holds {extra[0]!r}, which is not signed; remove it, or sign the artifact again"
        )
    for name in sorted(statement.files.keys() & found.keys()):
        if not stat.S_ISREG(found[name]):
            raise SignatureError(f"{directory / name}: is not a regular file; a signed artifact holds only such files")
