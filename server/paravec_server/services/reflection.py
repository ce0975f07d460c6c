"""gRPC server reflection, versions v1 and v1alpha, by grpcio's own service."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from ..rpc.call import Call, RpcMethod
from ..rpc.errors import parse
from ..rpc.thread_pool import ElasticThreadPool

# Threads of all reflection streams.
_THREADS = 8

_ALPHA, _STABLE = "grpc.reflection.v1alpha", "grpc.reflection.v1"


def reflection_methods(*services: ServiceDescriptor) -> dict[str, RpcMethod]:
    """The reflection methods by full name. They describe `services`, themselves and the error details."""
    pool = DescriptorPool()
    alpha = reflection_pb2.DESCRIPTOR
    for file in (error_details_pb2.DESCRIPTOR, alpha, *(service.file for service in services)):
        _add(file, pool)
    stable = pool.AddSerializedFile(_stable(alpha).SerializeToString())
    names = [one.full_name for file in (alpha, stable) for one in file.services_by_name.values()]
    names += [service.full_name for service in services]
    servicer = reflection.ReflectionServicer(names, _Symbols(pool))

    def reflect(call: Call, messages: Iterator[bytes]) -> Iterator[bytes]:
        # Both versions have the same messages except for their names, which are not on the wire.
        requests = (parse(reflection_pb2.ServerReflectionRequest, message) for message in messages)
        for response in servicer.ServerReflectionInfo(requests, call.context):
            yield response.SerializeToString()

    method = RpcMethod(
        reflect,
        client_streaming=True,
        server_streaming=True,
        limited=False,
        executor=ElasticThreadPool(_THREADS, "reflection"),
    )
    return {f"/{version}.ServerReflection/ServerReflectionInfo": method for version in (_ALPHA, _STABLE)}


def _stable(alpha: FileDescriptor) -> FileDescriptorProto:
    """The contract of v1. grpcio-reflection only has v1alpha, which differs in nothing but the names."""
    proto = FileDescriptorProto()
    alpha.CopyToProto(proto)
    renamed = text_format.MessageToString(proto).replace("v1alpha", "v1")
    return text_format.Parse(renamed, FileDescriptorProto())


def _add(file: FileDescriptor, pool: DescriptorPool) -> None:
    """Add a file and its imports to the pool."""
    for imported in file.dependencies:
        _add(imported, pool)
    pool.AddSerializedFile(file.serialized_pb)


class _Symbols:
    """A pool that also finds the files of methods, and of enum values by the name of their enum.

    protobuf's own knows the value `paravec.v1.METHOD_SGD`, which some clients call `paravec.v1.RpcMethod.METHOD_SGD`.
    """

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802  # protobuf's name
        """The file; KeyError if there is none."""
        with suppress(KeyError):
            return self._pool.FindFileContainingSymbol(symbol)
        with suppress(KeyError):
            return self._pool.FindMethodByName(symbol).containing_service.file
        enum, _, value = symbol.rpartition(".")
        return self._pool.FindEnumTypeByName(enum).values_by_name[value].type.file
