"""The contract and the code generated from it."""

import runpy
from pathlib import Path
from unittest.mock import Mock

import pytest

from paravec.v1 import embedding_pb2 as pb
from paravec_client._protocol import calls
from paravec_server.services.embedding import EmbeddingService
from paravec_server.telemetry import counters

PROTO = Path(__file__).parents[2] / "proto"


def test_the_generated_code_is_current(tmp_path: Path) -> None:
    """Generating again gives the files that are committed, byte for byte."""
    pytest.importorskip("grpc_tools", reason="the generator writes protobuf 6 code and does not install beside 7")
    assert runpy.run_path(str(PROTO / "generate.py"))["generate"](tmp_path) == 0
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.py*"))
    assert len(made) == 7
    for path in made:
        assert (tmp_path / path).read_bytes() == (PROTO / path).read_bytes(), f"{path}: run make proto"


def test_each_method_is_served_counted_and_called() -> None:
    """By the server, in its metrics and by the clients."""
    service = pb.DESCRIPTOR.services_by_name["EmbeddingService"]
    names = {method.name for method in service.methods}
    paths = {f"/{service.full_name}/{name}" for name in names}
    assert EmbeddingService(Mock(), Mock(), Mock()).methods().keys() == paths
    assert names <= set(counters.COUNTED_METHODS)
    assert paths <= {method.path for method in calls.METHODS}


def test_vectors_are_packed_little_endian_float32() -> None:
    """A client may read a vector's bytes without a loop."""
    message = pb.Embedding(vector=[1.0, -2.0]).SerializeToString()
    assert message == b"\x0a\x08" + b"\x00\x00\x80\x3f" + b"\x00\x00\x00\xc0"


def test_options_tell_unset_from_zero() -> None:
    """An option left out is the model's default, and 0 is 0."""
    assert not pb.InferenceOptions().HasField("min_alpha")
    assert pb.InferenceOptions(min_alpha=0).HasField("min_alpha")
