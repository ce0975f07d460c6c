"""The protocols of the measured services: turns texts into a request, and a response into vectors."""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Protocol

import grpc

from paravec.v1 import embedding_pb2 as pb

_TIMEOUT_SECONDS = 30.0

_GRPC_HEADERS = ("content-type: application/grpc", "te: trailers")


class Wire(Protocol):
    """A protocol."""

    @property
    def name(self) -> str:
        """Name in tables."""

    @property
    def grpc(self) -> bool:
        """Whether it is gRPC over HTTP/2, else HTTP/1.1."""

    @property
    def path(self) -> str:
        """Path of the call."""

    @property
    def headers(self) -> Sequence[str]:
        """Headers of each call."""

    def request(self, texts: Sequence[str]) -> bytes:
        """The body of a request."""

    def vectors(self, answer: bytes) -> list[list[float]]:
        """The vectors in the body of a response."""

    def call(self, port: int, body: bytes) -> bytes:
        """The body of the response to one call. Raises OSError or grpc.RpcError if the call fails."""


@dataclass(frozen=True)
class Json:
    """A JSON object over HTTP/1.1."""

    name: str = "HTTP, JSON"
    grpc: bool = False
    path: str = "/embed"
    headers: Sequence[str] = ("content-type: application/json",)

    def request(self, texts: Sequence[str]) -> bytes:
        return json.dumps({"texts": list(texts)}).encode()

    def vectors(self, answer: bytes) -> list[list[float]]:
        vectors: list[list[float]] = json.loads(answer)["vectors"]
        return vectors

    def call(self, port: int, body: bytes) -> bytes:
        connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("POST", self.path, body, dict(header.split(": ") for header in self.headers))
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise OSError(f"HTTP status {response.status}")
        return answer


class _Grpc:
    """gRPC. Bodies include gRPC's message frame, because h2load sends a body unchanged."""

    grpc = True
    path: str
    headers: Sequence[str] = _GRPC_HEADERS

    def call(self, port: int, body: bytes) -> bytes:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(self.path)
            return frame(method(body[5:], timeout=_TIMEOUT_SECONDS))


class Paravec(_Grpc):
    """paravec.v1, our own contract."""

    name = "gRPC, paravec.v1"
    path = "/paravec.v1.EmbeddingService/Embed"

    def request(self, texts: Sequence[str]) -> bytes:
        return frame(pb.EmbedRequest(documents=[pb.Document(text=text) for text in texts]).SerializeToString())

    def vectors(self, answer: bytes) -> list[list[float]]:
        return [list(embedding.vector) for embedding in pb.EmbedResponse.FromString(answer[5:]).embeddings]


@dataclass(frozen=True)
class OpenInference(_Grpc):
    """The Open Inference Protocol by MLServer's generated code, which only needs protobuf."""

    environment: Path
    """The virtual environment of MLServer."""
    model: str
    """The model's name."""
    name: str = "gRPC, Open Inference"
    path: str = "/inference.GRPCInferenceService/ModelInfer"

    def request(self, texts: Sequence[str]) -> bytes:
        message = self._messages.ModelInferRequest(model_name=self.model)
        tensor = message.inputs.add(name="texts", datatype="BYTES", shape=[len(texts), 1])
        tensor.parameters["content_type"].string_param = "str"
        tensor.contents.bytes_contents.extend(text.encode() for text in texts)
        return frame(message.SerializeToString())

    def vectors(self, answer: bytes) -> list[list[float]]:
        (tensor,) = self._messages.ModelInferResponse.FromString(answer[5:]).outputs
        count, size = tensor.shape
        numbers = list(tensor.contents.fp32_contents)
        return [numbers[i * size : (i + 1) * size] for i in range(count)]

    @cached_property
    def _messages(self) -> Any:
        (file,) = self.environment.glob("lib/*/site-packages/mlserver/grpc/dataplane_pb2.py")
        spec = importlib.util.spec_from_file_location("dataplane_pb2", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def frame(message: bytes) -> bytes:
    """A message in gRPC's frame: uncompressed flag, length, message."""
    return b"\0" + len(message).to_bytes(4, "big") + message
