"""The vectors of training documents: over the wire, by both clients, and by the command."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from paravec.v1 import embedding_pb2 as pb
from paravec.v1.embedding_pb2_grpc import (
    EmbeddingServiceServicer,
    EmbeddingServiceStub,
    add_EmbeddingServiceServicer_to_server,
)
from paravec_client import (
    AsyncEmbeddingClient,
    EmbeddingClient,
    InvalidArgumentError,
    ModelChangedError,
    NotFoundError,
    ServerError,
    UnsupportedError,
)
from paravec_model.artifact import Artifact
from paravec_model.artifact.doctags import DOCTAGS, Doctags
from paravec_model.errors import ArtifactError

from .. import parity
from ..calls import details, started
from ..commands import paravec
from ..servers import Server, running


def test_a_stock_stub_gets_the_trained_vectors(stub: Any, artifact: Artifact) -> None:
    """Tags of both kinds give the rows of the artifact's matrix, in order and repeatedly, and the model is named."""
    tags = [pb.Tag(name="month 0"), pb.Tag(number=5), pb.Tag(number=5)]
    response = stub.GetDocumentVectors(pb.GetDocumentVectorsRequest(tags=tags))
    size = artifact.manifest.algorithm.vector_size
    rows = [list(artifact.doctags).index("month 0"), list(artifact.doctags).index(5)]
    expected = artifact.arrays["doctag_vectors"][[*rows, rows[1]], :size]
    np.testing.assert_array_equal(np.array([vector.values for vector in response.vectors], np.float32), expected)
    assert response.model.digest == artifact.manifest.digest


def test_every_tag_is_found(client: EmbeddingClient, artifact: Artifact) -> None:
    """A list longer than one call may hold gives every vector, and one tag gives one vector."""
    size = artifact.manifest.algorithm.vector_size
    tags = list(artifact.doctags)
    assert len(tags) > client.model().limits.max_documents
    expected = artifact.arrays["doctag_vectors"][:, :size]
    np.testing.assert_array_equal(client.document_vectors(tags), expected)
    np.testing.assert_array_equal(client.document_vectors(np.array([3, 1])), expected[[tags.index(3), tags.index(1)]])
    np.testing.assert_array_equal(client.document_vectors("month 0"), expected[tags.index("month 0")])
    assert client.document_vectors([]).shape == (0, size)


def test_the_asynchronous_client_gives_the_same(server: Server, client: EmbeddingClient) -> None:
    """Both clients give the same vectors."""

    async def vectors() -> tuple[Any, Any]:
        async with AsyncEmbeddingClient(server.target) as other:
            return await other.document_vectors(7), await other.document_vectors([7, "month 0"])

    one, two = asyncio.run(vectors())
    np.testing.assert_array_equal(one, client.document_vectors(7))
    np.testing.assert_array_equal(two, client.document_vectors([7, "month 0"]))


def test_unknown_tags_are_all_named(stub: Any, client: EmbeddingClient) -> None:
    """NOT_FOUND names each unknown tag by its place, in the whole list too; a number is no string."""
    tags = [pb.Tag(number=1), pb.Tag(name="1"), pb.Tag(number=10**6), pb.Tag(name="")]
    with pytest.raises(grpc.RpcError) as failed:
        stub.GetDocumentVectors(pb.GetDocumentVectorsRequest(tags=tags))
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    violations = details(failed.value, error_details_pb2.BadRequest).field_violations
    assert [violation.field for violation in violations] == ["tags[1]", "tags[2]", "tags[3]"]
    with pytest.raises(NotFoundError, match=r"^tags\[100\]: no training document has this tag$") as missing:
        client.document_vectors([*range(100), "nobody", *range(9)])
    assert missing.value.violations[0].field == "tags[100]"


def test_the_error_of_many_tags_fits_in_the_trailers(artifact: Artifact) -> None:
    """A stock client, which accepts 8 KiB of trailers, gets NOT_FOUND with the first 64 of the tags."""
    with running(artifact.path, "--max-documents", "5000") as server, grpc.insecure_channel(server.target) as channel:
        tags = [pb.Tag(number=10**6)] * 5000
        with pytest.raises(grpc.RpcError) as failed:
            EmbeddingServiceStub(channel).GetDocumentVectors(pb.GetDocumentVectorsRequest(tags=tags))
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    violations = details(failed.value, error_details_pb2.BadRequest).field_violations
    assert [violation.field for violation in violations] == [f"tags[{i}]" for i in range(64)]


class _Other(EmbeddingServiceServicer):
    """A server that answers GetDocumentVectors with given responses, two tags at a time."""

    def __init__(self, *answers: pb.GetDocumentVectorsResponse) -> None:
        self._answers = iter(answers)
        self.asked = 0
        """Calls of GetModel."""

    def GetModel(self, *_: Any) -> pb.GetModelResponse:  # noqa: N802
        """A model of three dimensions."""
        self.asked += 1
        limits = pb.Limits(max_documents=2, max_message_bytes=10_000)
        return pb.GetModelResponse(model=pb.ModelInfo(vector_size=3, limits=limits))

    def GetDocumentVectors(self, *_: Any) -> pb.GetDocumentVectorsResponse:  # noqa: N802
        """The next response."""
        return next(self._answers)

    @contextmanager
    def client(self) -> Iterator[EmbeddingClient]:
        """A client of it."""
        with ThreadPoolExecutor() as pool:
            served = grpc.server(pool)
            add_EmbeddingServiceServicer_to_server(self, served)
            with started(served) as target, EmbeddingClient(target) as client:
                yield client


def response(version: str, *sizes: int) -> pb.GetDocumentVectorsResponse:
    """Vectors of these sizes, of a version of a model."""
    vectors = [pb.Vector(values=[1] * size) for size in sizes]
    return pb.GetDocumentVectorsResponse(vectors=vectors, model=pb.ModelVersion(version=version, digest=version))


def test_the_model_is_asked_for_once() -> None:
    """Only the first call needs the server's limits; a model that changed between calls has vectors of its own size."""
    other = _Other(response("1", 3, 3), response("1", 3), response("2", 4))
    with other.client() as client:
        assert client.document_vectors([1, 2]).shape == (2, 3)
        assert client.document_vectors(1).shape == (3,)
        assert client.document_vectors(1).shape == (4,)
    assert other.asked == 1


@pytest.mark.parametrize(
    ("answers", "error", "problem"),
    [
        ([response("1", 3)], ServerError, "got 1 vectors for 2 tags"),
        ([response("1")], ServerError, "got 0 vectors for 2 tags"),
        ([response("1", 3, 4)], ServerError, "got vectors of 3 and 4 numbers"),
        ([response("1", 3, 3), response("1", 4)], ServerError, "got vectors of 3 and 4 numbers"),
        ([response("1", 3, 3), response("2", 4)], ModelChangedError, "the model changed from version 1 to 2"),
    ],
)
def test_vectors_that_do_not_fit_are_an_error(
    answers: list[pb.GetDocumentVectorsResponse], error: Any, problem: str
) -> None:
    """A server that is rolled to another model while a list is asked for, or a wrong one, is named."""
    with _Other(*answers).client() as client, pytest.raises(error, match=problem):
        client.document_vectors([1, 2, 3][: 2 * len(answers)])


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (pb.GetDocumentVectorsRequest(), "tags: must be 1 to 64, not 0"),
        (pb.GetDocumentVectorsRequest(tags=[pb.Tag(number=1)] * 65), "tags: must be 1 to 64, not 65"),
        (pb.GetDocumentVectorsRequest(tags=[pb.Tag()]), "tags[0]: must have a name or a number"),
    ],
)
def test_a_wrong_request_is_named(stub: Any, request_: pb.GetDocumentVectorsRequest, problem: str) -> None:
    """INVALID_ARGUMENT names the field."""
    with pytest.raises(grpc.RpcError) as failed:
        stub.GetDocumentVectors(request_)
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, problem)


def test_the_client_names_a_tag_of_a_wrong_type(client: EmbeddingClient) -> None:
    """A tag that is neither text nor a number of 64 bits is refused before a call."""
    wrong: Any = [1, 2.5]
    with pytest.raises(InvalidArgumentError, match=r"^tags\[1\]: must be a str or an int, not float"):
        client.document_vectors(wrong)
    with pytest.raises(InvalidArgumentError, match=r"^tags\[0\]: must have at most 64 bits"):
        client.document_vectors([2**70])


def test_a_model_without_documents_does_not_support_it(tmp_path: Path) -> None:
    """FAILED_PRECONDITION, which the client raises as UnsupportedError."""
    bare = parity.to_artifact(parity.train(dm=0, epochs=1), tmp_path / "bare").path
    with running(bare) as server, EmbeddingClient(server.target) as client:
        with pytest.raises(UnsupportedError, match="carries no documents"):
            client.document_vectors(1)


def test_the_command_prints_vectors(server: Server, client: EmbeddingClient) -> None:
    """JSON lines with tag and vector, of arguments and of standard input; an unknown tag is one line."""
    ran = paravec(server, "vectors", "7", "month 0", "--format", "json")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [line["tag"] for line in lines] == [7, "month 0"]
    expected = client.document_vectors([7, "month 0"])
    np.testing.assert_array_equal(np.array([line["vector"] for line in lines], np.float32), expected)
    assert paravec(server, "vectors", "--format", "json", given="7\nmonth 0\n").stdout == ran.stdout
    assert paravec(server, "vectors", "7", "--format", "table").stdout.startswith("7    ")
    ran = paravec(server, "vectors", "7", "--strings")
    assert (ran.returncode, ran.stderr) == (1, "paravec: tag 1: no training document has this tag\n")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("7\n" * 99 + "nobody\n", "standard input, line 100: no training document has this tag"),
        ("7\n\ud8ff\n", "standard input, line 2: is not UTF-8 (invalid continuation byte); convert it"),
        ("9" * 5000 + "\n", "standard input, line 1: no training document has this tag"),
    ],
)
def test_a_wrong_line_of_tags_is_named(server: Server, given: str, problem: str) -> None:
    """The line counts from the begin of the input, not of the call that its tag was in."""
    ran = paravec(server, "vectors", "--format", "json", given=given.encode(errors="surrogatepass"))
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"paravec: {problem}")
    assert ran.stderr.count("\n") == 1


def test_tags_with_odd_content_are_found(tmp_path: Path) -> None:
    """Tags are compared as a whole, whatever characters they have; a damaged file is named."""
    tags: list[str | int] = ["a,", "a", 'q"', "l\n", "è", "\u2028", "", -1, 1, "1", 10**30]
    file = tmp_path / DOCTAGS
    content = "[\n" + ",\n".join(map(json.dumps, tags)) + "\n]\n"
    file.write_text(content)
    doctags = Doctags(file, len(tags))
    assert [doctags.index_of(tag) for tag in tags] == list(range(len(tags)))
    assert doctags.index_of("b") is None
    file.write_text(content.replace(",\n", ",\n\n", 1))
    with pytest.raises(ArtifactError, match="is not a list of 11 entries, one a line"):
        Doctags(file, len(tags), np.zeros(len(tags) + 1, np.int64)).index_of("a")
