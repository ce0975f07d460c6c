"""Calls by stock gRPC channels: requests, stubs, and the errors that come back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import message as protobuf
from google.rpc import status_pb2

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc

from .servers import PATIENCE

SERVICE = "paravec.v1.EmbeddingService"


def connect(target: str) -> grpc.Channel:
    """A channel with a connection of its own; others of a process share theirs."""
    return grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)])


@contextmanager
def stub_of(target: str) -> Iterator[Any]:
    """The generated stub, on a connection of its own."""
    with connect(target) as channel:
        yield embedding_pb2_grpc.EmbeddingServiceStub(channel)


@contextmanager
def started(server: Any) -> Iterator[str]:
    """Start a server of this process, grpcio's or ours, on a free port, and stop it at the end; its target."""
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def text(content: str) -> pb.Document:
    """A document of text."""
    return pb.Document(text=content)


def tokens(*content: str) -> pb.Document:
    """A document of tokens."""
    return pb.Document(tokens=pb.TokenList(tokens=content))


def embed(*texts: str, epochs: int | None = None) -> pb.EmbedRequest:
    """A request of Embed for texts."""
    return pb.EmbedRequest(documents=map(text, texts), options=pb.InferenceOptions(epochs=epochs))


def one_then_wait(go_on: threading.Event) -> Iterator[pb.EmbedStreamRequest]:
    """Requests of a stream: one document, and the end only after the event, so that the call stays in flight."""
    yield pb.EmbedStreamRequest(document=text("fire"))
    go_on.wait(PATIENCE)


def refused(stub: Any, request: pb.EmbedRequest) -> Any:
    """The error of a call of Embed that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        stub.Embed(request, timeout=PATIENCE)
    return caught.value


def details(error: Any, kind: type[protobuf.Message]) -> Any:
    """The detail of that kind in a failed call."""
    packed = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(packed)
    assert status.code == error.code().value[0]
    found = kind()
    assert any(detail.Unpack(found) for detail in status.details)
    return found
