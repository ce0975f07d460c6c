"""What is signed: an in-toto statement that lists the files of a model with their hashes.

https://github.com/sigstore/model-transparency, predicate type https://model_signing/signature/v1.0
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from .bundle import member, parse_json

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"

# The tool's library can also hash pieces of files, and by BLAKE2 or BLAKE3. The manifest has whole files by SHA-256.
_SERIALIZATION = ("files", "sha256")

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Statement:
    """A parsed statement."""

    files: dict[str, str]
    """SHA-256, in hexadecimal, of each signed file, by its path in the artifact."""
    ignored: frozenset[str]
    """Paths in the artifact that were not signed on purpose."""


def parse_statement(payload: bytes) -> Statement:
    """Parse a payload whose signature is right. ValueError or RecursionError if it lists files in no way we know."""
    content = parse_json(payload)
    if (kind := member(content, "_type", str)) != STATEMENT_TYPE:
        raise ValueError(f"its _type is {kind[:80]!r}, not {STATEMENT_TYPE}")
    if (kind := member(content, "predicateType", str)) != PREDICATE_TYPE:
        raise ValueError(f"its predicateType is {kind[:80]!r}, not {PREDICATE_TYPE}")
    predicate = member(content, "predicate", dict)
    serialization = member(predicate, "serialization", dict)
    method, hash_type = (member(serialization, name, str) for name in ("method", "hash_type"))
    if (method, hash_type) != _SERIALIZATION:
        raise ValueError(f"it lists {method[:80]} by {hash_type[:80]}, not {' by '.join(_SERIALIZATION)}")
    files: dict[str, str] = {}
    for resource in member(predicate, "resources", list):
        name, digest = member(resource, "name", str), member(resource, "digest", str)
        if member(resource, "algorithm", str) != "sha256" or not _SHA256.fullmatch(digest):
            raise ValueError(f"its digest of {name[:80]!r} is no SHA-256")
        if name in files:
            raise ValueError(f"it lists {name[:80]!r} twice")
        files[name] = digest
    _check_subject(content, files)
    ignored = serialization.get("ignore_paths", [])
    if not isinstance(ignored, list) or not all(isinstance(path, str) for path in ignored):
        raise ValueError("its ignore_paths is of a wrong type")
    return Statement(files, frozenset(ignored))


def _check_subject(content: Any, files: dict[str, str]) -> None:
    """ValueError unless the statement has one subject, whose SHA-256 is that of all digests in their order."""
    subjects = member(content, "subject", list)
    if len(subjects) != 1:
        raise ValueError(f"it has {len(subjects)} subjects, not one")
    digests = b"".join(bytes.fromhex(digest) for digest in files.values())
    if member(member(subjects[0], "digest", dict), "sha256", str) != hashlib.sha256(digests).hexdigest():
        raise ValueError("its subject does not belong to its files")
