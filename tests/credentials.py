"""Certificates and bearer tokens for tests."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from .calls import SERVICE
from .servers import PATIENCE

OLD, NEW = "old-token-4c3b1f", "new-token-98fe0a"


class Pem:
    """A certificate authority and the certificates it issues, as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.authority = folder, trustme.CA()
        folder.mkdir(exist_ok=True)
        self.ca = folder / "ca.crt"
        self.authority.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, year: int | None = None) -> tuple[Path, Path]:
        """Issue a certificate for this machine, valid now or in one year only; its file and its key's."""
        begin, end = (datetime(y, 1, 1, tzinfo=UTC) for y in (year, year + 1)) if year else (None, None)
        issued = self.authority.issue_cert("localhost", "127.0.0.1", common_name=name, not_before=begin, not_after=end)
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return cert, key


def flags(cert: Path, key: Path, *more: str) -> list[str]:
    """Flags of a server with this certificate."""
    return ["--tls-cert", str(cert), "--tls-key", str(key), *more]


def bearer(token: str, scheme: str = "Bearer") -> tuple[tuple[str, str], ...]:
    """Metadata with a token."""
    return (("authorization", f"{scheme} {token}"),)


def health(channel: grpc.Channel, **how: Any) -> int:
    """The service's status by grpc.health.v1."""
    asked = health_pb2.HealthCheckRequest(service=SERVICE)
    return int(health_pb2_grpc.HealthStub(channel).Check(asked, timeout=PATIENCE, **how).status)
