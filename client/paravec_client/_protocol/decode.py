"""Answers of Embed read without a Python number for each number of a vector.

A packed field of floats lies on the wire as little-endian float32, after a tag and a length: just as a field of bytes.
So answers are parsed as a twin of EmbedResponse whose vectors are bytes, which are joined to be one array.
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


def _twin() -> Any:
    """The class of EmbedResponse with bytes for vectors: `repeated`, since a packed field may come in pieces."""
    file = descriptor_pb2.FileDescriptorProto(name="twin.proto", package=pb.DESCRIPTOR.package, syntax="proto3")
    for message in (pb.EmbedResponse, pb.Embedding, pb.ModelVersion):
        message.DESCRIPTOR.CopyToProto(file.message_type.add())
    (vector,) = (field for field in file.message_type[1].field if field.name == "vector")
    vector.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
    pb.DESCRIPTOR.enum_types_by_name["Method"].CopyToProto(file.enum_type.add())
    # A pool of its own: in protobuf's default one these names are taken.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(pb.EmbedResponse.DESCRIPTOR.full_name))


_Response = _twin()
_COUNTS = attrgetter("token_count", "known_token_count", "truncated")


def read_response(data: bytes) -> Embeddings:
    """The answer that an EmbedResponse's bytes hold; ServerError if they hold none, or vectors of several lengths."""
    try:
        message = _Response.FromString(data)
        answers = list(message.embeddings)
        vectors = _vectors([answer.vector for answer in answers], data)
    except (DecodeError, ValueError):
        raise ServerError("the answer is no EmbedResponse of paravec.v1", code="INTERNAL") from None
    tokens, known, truncated = zip(*map(_COUNTS, answers), strict=True) if answers else ((), (), ())
    return Embeddings(
        vectors,
        np.array(tokens, np.int64),
        np.array(known, np.int64),
        np.array(truncated, np.bool_),
        read_version(message.model),
        method_name(message.method),
    )


def _vectors(packed: Sequence[Sequence[bytes]], data: bytes) -> Vector:
    """The vectors (n, vector_size) of an answer; ValueError if they are of several lengths."""
    pieces = list(chain.from_iterable(packed))
    if set(map(len, packed)) == {1} and len(set(map(len, pieces))) == 1:
        joined = np.frombuffer(bytearray().join(pieces), "<f4").astype(np.float32, copy=False)
        return joined.reshape(len(pieces), len(joined) // len(pieces))
    # In pieces or not packed, which is legal and not what our server does: protobuf's own way, number by number.
    embeddings = pb.EmbedResponse.FromString(data).embeddings
    size = len(embeddings[0].vector) if embeddings else 0
    return np.array([embedding.vector for embedding in embeddings], np.float32).reshape(len(embeddings), size)


def method_name(number: int) -> str | None:
    """The method of this number: sgd, map; None if the server does not say."""
    return enum_name(pb.Method, number) if number else None


def enum_name(enum: object, number: int) -> str:
    """A value of an enum without its prefix, in lower case; a number for one that is newer than this client."""
    values = enum.DESCRIPTOR.values_by_number  # type: ignore[attr-defined]
    return str(values[number].name.split("_", 1)[1].lower()) if number in values else str(number)


def read_version(message: pb.ModelVersion) -> ModelVersion:
    """Which model answered."""
    return ModelVersion(*(getattr(message, item.name) for item in fields(ModelVersion)))
