"""Answers of Embed read from their bytes, without a Python number for each number of a vector.

A packed field of floats lies on the wire as little-endian float32, so the bytes of an answer's vectors are joined to be
one array. protobuf's own classes would make a list of Python floats first. What is read here is protobuf's encoding as
its documentation has it (protobuf.dev, "Encoding"): fields in any order, of which the last counts, unknown ones
skipped, numbers packed or not.
"""

from dataclasses import fields

import numpy as np
from google.protobuf.message import DecodeError

from paravec.v1 import embedding_pb2 as pb

from .errors import ServerError
from .types import Embeddings, ModelVersion

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def _tag(message: type, field: str, kind: int) -> int:
    number: int = message.DESCRIPTOR.fields_by_name[field].number  # type: ignore[attr-defined]
    return number << 3 | kind


_EMBEDDINGS = _tag(pb.EmbedResponse, "embeddings", _BYTES)
_MODEL = _tag(pb.EmbedResponse, "model", _BYTES)
_PACKED, _UNPACKED = (_tag(pb.Embedding, "vector", kind) for kind in (_BYTES, _FIXED32))
_TOKENS = _tag(pb.Embedding, "token_count", _VARINT)
_KNOWN = _tag(pb.Embedding, "known_token_count", _VARINT)
_TRUNCATED = _tag(pb.Embedding, "truncated", _VARINT)


def read_response(data: bytes) -> Embeddings:
    """The answer that an EmbedResponse's bytes hold; ServerError if they hold none, or vectors of several lengths."""
    model = pb.ModelVersion()
    vectors: list[bytes] = []
    tokens: list[int] = []
    known: list[int] = []
    truncated: list[int] = []
    try:
        at, end = 0, len(data)
        while at < end:
            tag, at = _varint(data, at)
            if tag == _EMBEDDINGS:
                size, at = _varint(data, at)
                stop = at + size
                counts = {_TOKENS: 0, _KNOWN: 0, _TRUNCATED: 0}
                vectors.append(_embedding(data, at, stop, counts))
                tokens.append(counts[_TOKENS])
                known.append(counts[_KNOWN])
                truncated.append(counts[_TRUNCATED])
                at = stop
            elif tag == _MODEL:
                size, at = _varint(data, at)
                model.MergeFromString(data[at : at + size])
                at += size
            else:
                at = _skipped(data, at, tag)
        if at != end:
            raise DecodeError("truncated")
        joined = np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), -1 if vectors else 0)
        if any(len(vector) != 4 * joined.shape[1] for vector in vectors):
            raise DecodeError("vectors of several lengths")
    except (DecodeError, IndexError, ValueError):
        raise ServerError("the answer is no EmbedResponse of paravec.v1", code="INTERNAL") from None
    # The bytes are nobody else's, but an array made from them must not be written to.
    joined = joined.astype(np.float32, copy=True)
    return Embeddings(
        joined,
        np.array(tokens, np.int64) & 0xFFFFFFFF,
        np.array(known, np.int64) & 0xFFFFFFFF,
        np.array(truncated, np.bool_),
        read_version(model),
    )


def read_version(message: pb.ModelVersion) -> ModelVersion:
    """Which model answered."""
    return ModelVersion(*(getattr(message, item.name) for item in fields(ModelVersion)))


def _embedding(data: bytes, at: int, stop: int, counts: dict[int, int]) -> bytes:
    """The bytes of the vector of the Embedding in data[at:stop]; its other fields go into `counts`, by their tags."""
    vector = b""
    while at < stop:
        tag, at = _varint(data, at)
        if tag == _PACKED:
            size, at = _varint(data, at)
            # More than one piece is legal, and never seen.
            vector = vector + data[at : at + size] if vector else data[at : at + size]
            at += size
        elif tag in counts:
            counts[tag], at = _varint(data, at)
        elif tag == _UNPACKED:
            vector += data[at : at + 4]
            at += 4
        else:
            at = _skipped(data, at, tag)
    if at != stop or stop > len(data):
        raise DecodeError("truncated")
    return vector


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    value = data[at]
    at += 1
    if value < 128:
        return value, at
    value &= 127
    for shift in range(7, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise DecodeError("a number without end")


def _skipped(data: bytes, at: int, tag: int) -> int:
    """Where a field ends that is of no interest."""
    kind = tag & 7
    if kind == _VARINT:
        return _varint(data, at)[1]
    if kind == _BYTES:
        size, at = _varint(data, at)
        return at + size
    if kind in (_FIXED64, _FIXED32):
        return at + (8 if kind == _FIXED64 else 4)
    raise DecodeError("a group, or no field at all")
