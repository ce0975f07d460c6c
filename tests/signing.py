"""Signs artifacts as OpenSSF model signing does. test_model_signing.py asks the real one."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

SIGNATURE = "model.sig"
HASHES = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}


class Signer:
    """A key pair, as files in a folder."""

    def __init__(self, folder: Path, curve: ec.EllipticCurve | None = None, name: str = "signer") -> None:
        self._private = ec.generate_private_key(curve or ec.SECP256R1())
        folder.mkdir(exist_ok=True)
        self.key = folder / f"{name}.pub"
        self.key.write_bytes(self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        # The tool compares it.
        self._fingerprint = hashlib.sha256(self.key.read_bytes()).hexdigest()
        self.secret = folder / f"{name}.pem"
        self.secret.write_bytes(
            self._private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        )

    def sign(self, directory: Path) -> Path:
        """Sign the files of an artifact; the signature."""
        return write(directory, self.bundle(json.dumps(statement(directory)).encode()))

    def bundle(self, payload: bytes, payload_type: str = "application/vnd.in-toto+json") -> dict[str, Any]:
        """A bundle with a payload of this payload type, rightly signed."""
        content = f"DSSEv1 {len(payload_type)} {payload_type} {len(payload)} ".encode() + payload
        signature = self._private.sign(content, ec.ECDSA(HASHES[self._private.curve.name]))
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": self._fingerprint}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": payload_type,
                "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
            },
        }


def statement(directory: Path) -> dict[str, Any]:
    """The statement that signs all files of an artifact."""
    files = {file.name: hashlib.sha256(file.read_bytes()) for file in sorted(directory.iterdir())}
    files.pop(SIGNATURE, None)
    root = hashlib.sha256(b"".join(found.digest() for found in files.values())).hexdigest()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": directory.name, "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE, ".git"],
            },
            "resources": [
                {"name": name, "algorithm": "sha256", "digest": found.hexdigest()} for name, found in files.items()
            ],
        },
    }


def write(directory: Path, bundle: Any) -> Path:
    """Write the signature of an artifact."""
    file = directory / SIGNATURE
    file.write_text(bundle if isinstance(bundle, str) else json.dumps(bundle))
    return file
