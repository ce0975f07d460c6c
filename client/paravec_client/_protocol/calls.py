"""The server's methods, and the steps of which a program consists.

A program is a generator. It yields a step, a `Call` or a `Sleep`. Its runner performs the step and sends the response
back, or throws the error in as a `ParavecError`. The generator returns the result that the caller asked for. Programs
do no I/O, so the synchronous and the asynchronous client run the same ones.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from paravec.v1 import embedding_pb2 as pb

from . import health
from .call_settings import Metadata

T = TypeVar("T")

SERVICE = pb.DESCRIPTOR.services_by_name["EmbeddingService"].full_name


class RpcMethod(NamedTuple):
    """A gRPC method. A new one needs an entry here and in METHODS, a program in `CallPrograms`, and a client method."""

    path: str
    """/package.Service/Method."""
    serialize: Callable[[Any], bytes]
    """Request to bytes."""
    deserialize: Callable[[bytes], Any] | None
    """Bytes to response; None leaves the bytes."""
    streaming: bool = False
    """Both directions are streams; request and response are lists of messages."""
    any_server: bool = False
    """Also sent to servers that are not ready."""


EMBED = RpcMethod(f"/{SERVICE}/Embed", pb.EmbedRequest.SerializeToString, None)
EMBED_STREAM = RpcMethod(
    f"/{SERVICE}/EmbedStream",
    pb.EmbedStreamRequest.SerializeToString,
    pb.EmbedStreamResponse.FromString,
    streaming=True,
)
FIND_SIMILAR = RpcMethod(
    f"/{SERVICE}/FindSimilar", pb.FindSimilarRequest.SerializeToString, pb.FindSimilarResponse.FromString
)
GET_DOCUMENT_VECTORS = RpcMethod(
    f"/{SERVICE}/GetDocumentVectors",
    pb.GetDocumentVectorsRequest.SerializeToString,
    pb.GetDocumentVectorsResponse.FromString,
)
GET_MODEL = RpcMethod(f"/{SERVICE}/GetModel", pb.GetModelRequest.SerializeToString, pb.GetModelResponse.FromString)
CHECK = RpcMethod("/grpc.health.v1.Health/Check", health.encode_request, health.decode_response, any_server=True)
METHODS = (EMBED, EMBED_STREAM, FIND_SIMILAR, GET_DOCUMENT_VECTORS, GET_MODEL, CHECK)


@dataclass(frozen=True)
class Call:
    """A step: call a method once."""

    method: RpcMethod
    request: Any
    timeout: float
    """Seconds."""
    metadata: Metadata = ()


@dataclass(frozen=True)
class Sleep:
    """A step: wait."""

    seconds: float


Step = Call | Sleep
Program = Generator[Step, Any, T]
