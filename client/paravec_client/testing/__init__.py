"""A fake server for tests of programs that use the client. It needs no model, only the client's own dependencies.

    from paravec_client.testing import paravec_server  # a pytest fixture: a new server for each test

    def test_mine(paravec_server):
        with EmbeddingClient(paravec_server.target) as client:
            ...

Without pytest, `with fake_server() as server:`.

The server speaks paravec.v1 and grpc.health.v1 on a loopback port, with the real server's limits and status codes.
Vectors are pseudo-random, seeded by the words of the document and the options: equal input gives equal vectors, on
every machine. Words that begin with "unknown" are not in the vocabulary.
"""

from collections.abc import Iterator

from .fake_model import LIMITS
from .fake_server import FakeServer, fake_server

__all__ = ["LIMITS", "FakeServer", "fake_server"]

try:
    import pytest
except ImportError:
    pass
else:
    __all__ += ["paravec_server"]

    @pytest.fixture
    def paravec_server() -> Iterator[FakeServer]:
        """A new `FakeServer` for this test."""
        with fake_server() as server:
            yield server
