"""The file model.sig: a Sigstore bundle, version 0.3, that holds a DSSE envelope.

The bundle also says which key or certificate the signer claims to have. It is not read: the operator names the key.

https://docs.sigstore.dev/about/bundle/ and https://github.com/secure-systems-lab/dsse
"""

import base64
import json
from dataclasses import dataclass
from typing import Any, TypeVar

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"

T = TypeVar("T")


@dataclass(frozen=True)
class Envelope:
    """A DSSE envelope with one signature."""

    payload: bytes
    """What is signed, an in-toto statement. It is not trusted until the signature has been checked."""
    signature: bytes

    @property
    def signed_bytes(self) -> bytes:
        """The bytes that the signature covers: DSSE's pre-authentication encoding of payload type and payload."""
        return f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(self.payload)} ".encode() + self.payload


def parse_bundle(raw: bytes) -> Envelope:
    """Parse model.sig. ValueError or RecursionError if it is no bundle with a statement and one signature."""
    bundle = parse_json(raw)
    if (kind := member(bundle, "mediaType", str)) != MEDIA_TYPE:
        raise ValueError(f"its mediaType is {kind[:80]!r}, not {MEDIA_TYPE}")
    envelope = member(bundle, "dsseEnvelope", dict)
    if (kind := member(envelope, "payloadType", str)) != PAYLOAD_TYPE:
        raise ValueError(f"its payloadType is {kind[:80]!r}, not {PAYLOAD_TYPE}")
    signatures = member(envelope, "signatures", list)
    if len(signatures) != 1:
        raise ValueError(f"it holds {len(signatures)} signatures, not one")
    return Envelope(_base64(envelope, "payload"), _base64(signatures[0], "sig"))


def parse_json(raw: bytes) -> Any:
    """Parse JSON in UTF-8. ValueError if it is none, or an object has a key twice; RecursionError if it is too deep."""
    return json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)


def member(container: Any, name: str, kind: type[T]) -> T:
    """A member of a parsed object. ValueError if it is missing or of another type."""
    value = container.get(name) if isinstance(container, dict) else None
    if not isinstance(value, kind):
        raise ValueError(f"its {name} is missing or of a wrong type")  # noqa: TRY004  of the input
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("an object has a key twice")
    return content


def _base64(container: Any, name: str) -> bytes:
    return base64.b64decode(member(container, name, str), validate=True)
