"""Decodes responses of Embed into arrays, without a Python float per vector element.

On the wire a packed field of floats is a tag, a length and little-endian float32 values: the same encoding as a field
of bytes. So responses are parsed with a copy of EmbedResponse whose vectors are bytes, which are joined to one array.
"""

from collections.abc import Sequence
from dataclasses import fields
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from paravec.v1 import embedding_pb2 as pb

from ..errors import ServerError
from ..types import Embeddings, ModelVersion, Vector


def _bytes_response_type() -> Any:
    """EmbedResponse with vectors of type `repeated bytes`: the encoder may split a packed field into pieces."""
    file = descriptor_pb2.FileDescriptorProto(name="bytes.proto", package=pb.DESCRIPTOR.package, syntax="proto3")
    for message in (pb.EmbedResponse, pb.Embedding, pb.ModelVersion):
        message.DESCRIPTOR.CopyToProto(file.message_type.add())
    (vector,) = (field for field in file.message_type[1].field if field.name == "vector")
    vector.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
    pb.DESCRIPTOR.enum_types_by_name["Method"].CopyToProto(file.enum_type.add())
    # protobuf's default pool already has messages of these names.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(pb.EmbedResponse.DESCRIPTOR.full_name))


_BytesResponse = _bytes_response_type()
_COUNTS = attrgetter("token_count", "known_token_count", "truncated")


def decode_embed_response(data: bytes) -> Embeddings:
    """The embeddings in an EmbedResponse; ServerError if the bytes are not one, or its vectors differ in length."""
    try:
        message = _BytesResponse.FromString(data)
        embeddings = list(message.embeddings)
        vectors = _vectors([embedding.vector for embedding in embeddings], data)
    except (DecodeError, ValueError):
        raise ServerError("the response is not a paravec.v1.EmbedResponse", code="INTERNAL") from None
    tokens, known, truncated = zip(*map(_COUNTS, embeddings), strict=True) if embeddings else ((), (), ())
    return Embeddings(
        vectors,
        np.array(tokens, np.int64),
        np.array(known, np.int64),
        np.array(truncated, np.bool_),
        model_version(message.model),
        method_name(message.method),
    )


def _vectors(packed: Sequence[Sequence[bytes]], data: bytes) -> Vector:
    """The vectors of a response, (n, vector_size); ValueError if they differ in length."""
    pieces = list(chain.from_iterable(packed))
    if set(map(len, packed)) == {1} and len(set(map(len, pieces))) == 1:
        joined = np.frombuffer(bytearray().join(pieces), "<f4").astype(np.float32, copy=False)
        return joined.reshape(len(pieces), len(joined) // len(pieces))
    # Split or unpacked fields are valid, but our server sends none. protobuf decodes them, element by element.
    embeddings = pb.EmbedResponse.FromString(data).embeddings
    size = len(embeddings[0].vector) if embeddings else 0
    return np.array([embedding.vector for embedding in embeddings], np.float32).reshape(len(embeddings), size)


def method_name(number: int) -> str | None:
    """sgd or map for a number of the enum Method; None for METHOD_UNSPECIFIED."""
    return enum_name(pb.Method, number) if number else None


def enum_name(enum: object, number: int) -> str:
    """The name of an enum's value in lower case, without its prefix; the number if this client does not know it."""
    values = enum.DESCRIPTOR.values_by_number  # type: ignore[attr-defined]
    return str(values[number].name.split("_", 1)[1].lower()) if number in values else str(number)


def model_version(message: pb.ModelVersion) -> ModelVersion:
    """The ModelVersion of a message."""
    return ModelVersion(*(getattr(message, item.name) for item in fields(ModelVersion)))
