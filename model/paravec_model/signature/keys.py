"""Public keys of signers, from a PEM file."""

import re
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ..errors import OptionError
from .files import read_regular

# The curves of OpenSSF model signing, each with the hash that it signs.
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}

_PEM = re.compile(rb"-----BEGIN ([^\n-]*)-----.*?-----END \1-----", re.DOTALL)


def read_public_keys(file: Path) -> tuple[ec.EllipticCurvePublicKey, ...]:
    """The public keys in a PEM file; several, so that a key can be replaced. OptionError, of `key`, if one is unfit."""
    try:
        raw = read_regular(file)
    except (OSError, ValueError) as error:
        raise OptionError("key", f"{file}: {getattr(error, 'strerror', None) or error}") from None
    blocks = [(block[1], block[0]) for block in _PEM.finditer(raw)]
    if any(label.endswith(b"PRIVATE KEY") for label, _ in blocks):
        raise OptionError("key", f"{file}: holds a private key; write its public half: openssl pkey -pubout -in {file}")
    if any(label == b"CERTIFICATE" for label, _ in blocks):
        raise OptionError("key", f"{file}: holds a certificate; write its key: openssl x509 -noout -pubkey -in {file}")
    if not blocks:
        raise OptionError("key", f"{file}: holds no public key in PEM")
    return tuple(_load(file, pem) for _, pem in blocks)


def _load(file: Path, pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise OptionError("key", f"{file}: holds a key that is damaged or of an unknown kind") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
        raise OptionError("key", f"{file}: a key must be one of ECDSA with P-256, P-384 or P-521")
    return key


def signed(key: ec.EllipticCurvePublicKey, signature: bytes, content: bytes) -> bool:
    """Whether a signature of the content was made by the private half of the key."""
    try:
        key.verify(signature, content, ec.ECDSA(_HASHES[key.curve.name]))
    except InvalidSignature:
        return False
    return True
