"""Answers read from their bytes are what protobuf's own code reads."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paravec.v1 import embedding_pb2 as pb
from paravec_client import ServerError
from paravec_client._protocol.decode import decode_embed_response

COUNTS = st.integers(0, 2**32 - 1)
FLOATS = st.floats(width=32, allow_nan=True)


@st.composite
def responses(draw: st.DrawFn) -> pb.EmbedResponse:
    """Answers with vectors of one length."""
    size = draw(st.integers(0, 70))
    vectors = st.lists(FLOATS, min_size=size, max_size=size)
    made = st.builds(
        pb.Embedding, vector=vectors, token_count=COUNTS, known_token_count=COUNTS, truncated=st.booleans()
    )
    version = st.builds(pb.ModelVersion, name=st.text(max_size=5), version=st.text(max_size=5), digest=st.text())
    return pb.EmbedResponse(embeddings=draw(st.lists(made, max_size=5)), model=draw(version))


def check(data: bytes) -> None:
    """What is read is what protobuf reads, to the bit."""
    message, made = pb.EmbedResponse.FromString(data), decode_embed_response(data)
    assert len(made) == len(message.embeddings)
    assert made.vectors.dtype == np.float32
    for one, other in zip(made, message.embeddings, strict=True):
        assert one.vector.tobytes() == np.array(other.vector, np.float32).tobytes()
        counts = (other.token_count, other.known_token_count, other.truncated)
        assert (one.token_count, one.known_token_count, one.truncated) == counts
    names = (message.model.name, message.model.version, message.model.digest)
    assert (made.model.name, made.model.version, made.model.digest) == names


@given(responses())
def test_responses_written_by_protobuf_are_decoded(message: pb.EmbedResponse) -> None:
    """Responses in the bytes that our server writes decode to what protobuf reads."""
    check(message.SerializeToString())


def field(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    size, length = len(content), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + content


UNKNOWN = st.sampled_from(
    [b"", field(9, b"new"), bytes([9 << 3, 5]), bytes([9 << 3 | 5]) + b"four", b"\x49" + b"8" * 8]
)


@given(
    st.lists(st.lists(FLOATS, min_size=6, max_size=6), max_size=4), st.sampled_from(["packed", "pieces", "single"]),
    UNKNOWN, UNKNOWN,
)  # fmt: skip
def test_any_valid_encoding_is_decoded(vectors: list[list[float]], way: str, first: bytes, last: bytes) -> None:
    """Packed, split and unpacked vectors, unknown fields and fields in another order decode to what protobuf reads."""
    data = first
    for vector in vectors:
        numbers = [struct.pack("<f", number) for number in vector]
        if way == "packed":
            content = field(1, b"".join(numbers))
        elif way == "pieces":
            content = field(1, b"".join(numbers[:2])) + field(1, b"".join(numbers[2:]))
        else:
            content = b"".join(b"\x0d" + number for number in numbers)
        data += field(1, b"\x10\x07" + first + content + last)
    check(data + last)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        field(1, b"\xff"),
        field(1, field(1, b"123")),
        field(1, field(1, b"4444")) + field(1, field(1, b"88888888")),
        field(1, field(1, b"4444"))[:-1],
    ],
)
def test_a_damaged_response_is_a_server_error(data: bytes) -> None:
    """Damaged bytes and vectors of different lengths are one ServerError."""
    with pytest.raises(ServerError, match=r"not a paravec\.v1\.EmbedResponse"):
        decode_embed_response(data)
