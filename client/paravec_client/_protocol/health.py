"""The two messages of grpc.health.v1 that ask whether a server is ready.

They are made here, in a pool of their own, and not taken from grpcio-health-checking: what protoc generates runs with
the protobuf it was generated for or a newer one, and other packages of an environment may need an older.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_FIELD = descriptor_pb2.FieldDescriptorProto


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="health.proto", package="grpc.health.v1", syntax="proto3")
    request = file.message_type.add(name="HealthCheckRequest")
    request.field.add(name="service", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    response = file.message_type.add(name="HealthCheckResponse")
    # An enum lies on the wire as an int32 does.
    response.field.add(name="status", number=1, type=_FIELD.TYPE_INT32, label=_FIELD.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("HealthCheckRequest", "HealthCheckResponse")
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}")) for name in names
    }


_MESSAGES = _messages()


def write_service(service: str) -> bytes:
    """The request that asks for a service."""
    data: bytes = _MESSAGES["HealthCheckRequest"](service=service).SerializeToString()
    return data


def read_service(data: bytes) -> str:
    """The service that a request asks for."""
    return str(_MESSAGES["HealthCheckRequest"].FromString(data).service)


def write_status(status: str) -> bytes:
    """The response that tells a status."""
    number = _STATUSES.index(status)
    data: bytes = _MESSAGES["HealthCheckResponse"](status=number).SerializeToString()
    return data


def read_status(data: bytes) -> str:
    """The status that a response tells: SERVING, NOT_SERVING, ..."""
    number = _MESSAGES["HealthCheckResponse"].FromString(data).status
    return _STATUSES[number] if 0 <= number < len(_STATUSES) else str(number)
