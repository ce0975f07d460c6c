"""Reflection by a real server, in both versions of its contract."""

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2

from ..servers import PATIENCE, Server

pytestmark = pytest.mark.parametrize("version", ["v1", "v1alpha"])


def ask(server: Server, version: str, **question: Any) -> Any:
    """The answer to one question. The versions differ in names alone, so v1alpha's messages serve for both."""
    with grpc.insecure_channel(server.target) as channel:
        stream: Any = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        (answer,) = stream(iter([reflection_pb2.ServerReflectionRequest(**question)]), timeout=PATIENCE)
        return answer


def test_all_services_are_listed_and_described(server: Server, version: str) -> None:
    """Those of reflection, too: a client that builds all files that it gets finds each service in them."""
    listed = [one.name for one in ask(server, version, list_services="").list_services_response.service]
    assert set(listed) == {
        "paravec.v1.EmbeddingService", "inference.GRPCInferenceService", "paravec.openai.v1.OpenAIService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
    }  # fmt: skip
    for name in listed:
        answer = ask(server, version, file_containing_symbol=name)
        pool = DescriptorPool()
        # Dependencies come after what needs them.
        for file in reversed(answer.file_descriptor_response.file_descriptor_proto):
            pool.Add(FileDescriptorProto.FromString(file))
        assert pool.FindServiceByName(name).methods


@pytest.mark.parametrize(
    "symbol",
    [
        "paravec.v1.EmbeddingService.Embed", "paravec.v1.EmbedRequest", "paravec.v1.EmbedRequest.documents",
        "paravec.v1.Document.content", "paravec.v1.Method", "paravec.v1.METHOD_SGD", "paravec.v1.Method.METHOD_SGD",
        "inference.ModelInferRequest.InferInputTensor", "inference.ModelInferRequest.InferInputTensor.shape",
        "grpc.health.v1.Health.Watch", "grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING",
        "grpc.reflection.v1.ServerReflection.ServerReflectionInfo", "google.rpc.RetryInfo",
    ],
)  # fmt: skip
def test_a_symbol_of_any_kind_is_found(server: Server, version: str, symbol: str) -> None:
    """Services, methods, messages, nested ones, fields, enums and their values."""
    files = ask(server, version, file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto
    package = FileDescriptorProto.FromString(files[0]).package
    assert symbol.startswith(f"{package}.")


@pytest.mark.parametrize(
    "symbol",
    ["", ".", "nobody", "paravec.v1", "paravec.v1.EmbeddingService.None", "paravec.v1.Method.NONE", "x" * 9999],
)
def test_an_unknown_symbol_is_not_found(server: Server, version: str, symbol: str) -> None:
    """An unknown symbol is answered with NOT_FOUND and the stream goes on."""
    assert ask(server, version, file_containing_symbol=symbol).error_response.error_code == 5
