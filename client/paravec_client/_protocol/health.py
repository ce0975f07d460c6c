"""The two messages of grpc.health.v1.

They are built here, in a descriptor pool of their own, instead of imported from grpcio-health-checking. Generated code
needs the protobuf that it was generated for or a newer one, and other packages in the environment may need an older.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_FIELD = descriptor_pb2.FieldDescriptorProto


def _message_types() -> tuple[Any, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="health.proto", package="grpc.health.v1", syntax="proto3")
    request = file.message_type.add(name="HealthCheckRequest")
    request.field.add(name="service", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    response = file.message_type.add(name="HealthCheckResponse")
    # On the wire an enum is encoded like an int32.
    response.field.add(name="status", number=1, type=_FIELD.TYPE_INT32, label=_FIELD.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = (f"{file.package}.{message.name}" for message in (request, response))
    request_type, response_type = (message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names)
    return request_type, response_type


_Request, _Response = _message_types()


def encode_request(service: str) -> bytes:
    """The bytes of a HealthCheckRequest for a service."""
    data: bytes = _Request(service=service).SerializeToString()
    return data


def decode_request(data: bytes) -> str:
    """The service that a HealthCheckRequest names."""
    return str(_Request.FromString(data).service)


def encode_response(status: str) -> bytes:
    """The bytes of a HealthCheckResponse with a status, e.g. SERVING."""
    data: bytes = _Response(status=_STATUSES.index(status)).SerializeToString()
    return data


def decode_response(data: bytes) -> str:
    """The status in a HealthCheckResponse, e.g. SERVING; its number if this client does not know it."""
    number = _Response.FromString(data).status
    return _STATUSES[number] if 0 <= number < len(_STATUSES) else str(number)
