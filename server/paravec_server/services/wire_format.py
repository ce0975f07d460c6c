"""Writes vectors in protobuf's wire format, without a message for each: a packed field of floats is the bytes of an
array, so no number is converted."""

from functools import lru_cache

from paravec.v1 import embedding_pb2 as pb
from paravec_model.encoder import Encoding, Vectors

_VALUES = pb.Vector.DESCRIPTOR.fields_by_name["values"].number
_VECTORS = pb.GetDocumentVectorsResponse.DESCRIPTOR.fields_by_name["vectors"].number
_VECTOR = pb.Embedding.DESCRIPTOR.fields_by_name["vector"].number


def vector_fields(vectors: Vectors) -> bytes:
    """The vectors of a GetDocumentVectorsResponse, in wire format."""
    size = 4 * vectors.shape[1]
    head = _head(_VALUES, size)
    head = _head(_VECTORS, len(head) + size) + head
    return b"".join(head + row.tobytes() for row in vectors.astype("<f4", copy=False))


def embedding_fields(number: int, encoding: Encoding) -> list[bytes]:
    """Field `number` with an Embedding for each document, in order, in wire format."""
    size = 4 * encoding.vectors.shape[1]
    data, head, limit = encoding.vectors.astype("<f4", copy=False).tobytes(), _head(_VECTOR, size), encoding.max_tokens
    fields, begin = [], 0
    for count, known in zip(encoding.token_counts, encoding.known_token_counts, strict=True):
        message = head + data[begin : begin + size] + _counts(count, known, count > limit)
        fields.append(_head(number, len(message)) + message)
        begin += size
    return fields


@lru_cache(1024)
def _head(number: int, size: int) -> bytes:
    """The tag and length of a length-delimited field in wire format."""
    head = bytearray([number << 3 | 2])
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    return bytes([*head, size])


@lru_cache(4096)
def _counts(count: int, known: int, truncated: bool) -> bytes:
    """The fields of an Embedding beside its vector."""
    return pb.Embedding(token_count=count, known_token_count=known, truncated=truncated).SerializeToString()
