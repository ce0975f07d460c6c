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

from ..rpc.call import Call, Method
from ..rpc.errors import parse
from ..rpc.thread_pool import Threads

# Threads of all reflection streams.
_THREADS = 8

_ALPHA, _STABLE = "grpc.reflection.v1alpha", "grpc.reflection.v1"


def reflection_methods(*services: ServiceDescriptor) -> dict[str, Method]:
    """What the server answers for reflection of `services`, of itself, and of the details of errors."""
    pool = DescriptorPool()
    alpha = reflection_pb2.DESCRIPTOR
    for file in (error_details_pb2.DESCRIPTOR, alpha, *(service.file for service in services)):
        _add(file, pool)
    stable = pool.AddSerializedFile(_stable(alpha).SerializeToString())
    names = [one.full_name for file in (alpha, stable) for one in file.services_by_name.values()]
    names += [service.full_name for service in services]
    servicer = reflection.ReflectionServicer(names, _Symbols(pool))

    def run(call: Call, messages: Iterator[bytes]) -> Iterator[bytes]:
        # Both versions have the same messages but for their names, which are not sent.
        requests = (parse(reflection_pb2.ServerReflectionRequest, message) for message in messages)
        for response in servicer.ServerReflectionInfo(requests, call.context):
            yield response.SerializeToString()

    method = Method(run, requests=True, responses=True, counted=False, pool=Threads(_THREADS, "reflect"))
    return {f"/{version}.ServerReflection/ServerReflectionInfo": method for version in (_ALPHA, _STABLE)}


def _stable(alpha: FileDescriptor) -> FileDescriptorProto:
    """The contract of version v1, of which grpcio-reflection has only v1alpha: all that differs is the names."""
    proto = FileDescriptorProto()
    alpha.CopyToProto(proto)
    renamed = text_format.MessageToString(proto).replace("v1alpha", "v1")
    return text_format.Parse(renamed, FileDescriptorProto())


def _add(file: FileDescriptor, pool: DescriptorPool) -> None:
    """Add a file to the pool, and what it imports."""
    for imported in file.dependencies:
        _add(imported, pool)
    pool.AddSerializedFile(file.serialized_pb)


class _Symbols:
    """A pool that also finds the files of methods, and of enum values by the name of their enum.

    protobuf's own knows the value `paravec.v1.METHOD_SGD`, which some clients call `paravec.v1.Method.METHOD_SGD`.
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
