"""The fake server: its gRPC service, and what a test controls."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc

from .._protocol.calls import SERVICE
from ..types import Limits
from .fake_model import DEFAULTS, LIMITS, FakeModel, StatusError, invalid
from .health import HealthHandler

_VERSION = pb.ModelVersion(name="fake", version="1", digest="sha256:" + 64 * "0")

# Each client that watches health occupies a thread, so this also bounds the number of clients.
_THREADS = 64


@dataclass
class FakeServer:
    """A running server, and the failures that it simulates.

    Attributes:
        target: Its address, for `EmbeddingClient`.
        vector_size: Dimensions of a vector.
        limits: What it accepts in one call.
        documents: Every embedded document, as a text or a list of tokens, in order of arrival.
    """

    target: str = ""
    vector_size: int = 100
    limits: Limits = LIMITS
    documents: list[str | list[str]] = field(default_factory=list)
    _failures: list[StatusError] = field(default_factory=list)
    _health: HealthHandler = field(default_factory=HealthHandler)

    def fail(self, code: str, times: int = 1, retry_after: float | None = None) -> None:
        """Fail the next `times` Embed or EmbedStream calls with a status code, e.g. UNAVAILABLE.

        `retry_after` is the server's advice in seconds. The client retries UNAVAILABLE, and RESOURCE_EXHAUSTED with
        `retry_after`.
        """
        details: list[Any] = []
        if code == "INTERNAL":
            details.append(error_details_pb2.RequestInfo(request_id="fake"))
        if retry_after is not None:
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(round(1000 * retry_after))
            details += [
                error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="paravec"),
                error_details_pb2.RetryInfo(retry_delay=delay),
            ]
        self._failures += [StatusError(code, "simulated failure", *details)] * times

    def set_ready(self, ready: bool) -> None:
        """Become ready, or not: then health is NOT_SERVING and calls fail as while the model loads."""
        self._health.set("", "SERVING")
        self._health.set(SERVICE, "SERVING" if ready else "NOT_SERVING")
        self._ready = ready

    def _check_ready(self) -> None:
        if not self._ready:
            raise StatusError("UNAVAILABLE", "the model is loading")

    def _embed(
        self, documents: Sequence[pb.Document], options: pb.InferenceOptions, path_format: str
    ) -> list[pb.Embedding]:
        self._check_ready()
        with suppress(IndexError):
            raise self._failures.pop(0)
        embeddings = FakeModel(self.vector_size, self.limits).embed(documents, options, path_format)
        self.documents += [item.text if item.HasField("text") else list(item.tokens.tokens) for item in documents]
        return embeddings


class _Servicer(embedding_pb2_grpc.EmbeddingServiceServicer):
    """The service of paravec.v1, without FindSimilar and GetDocumentVectors."""

    def __init__(self, fake: FakeServer) -> None:
        self._fake = fake

    def Embed(self, request: pb.EmbedRequest, context: grpc.ServicerContext) -> pb.EmbedResponse:  # noqa: N802
        """The embeddings of the documents."""
        max_documents, count = self._fake.limits.max_documents, len(request.documents)
        try:
            if not 1 <= count <= max_documents:
                raise invalid("documents", f"must be 1 to {max_documents}, not {count}")
            embeddings = self._fake._embed(request.documents, request.options, "documents[{}]")
        except StatusError as error:
            _abort(context, error)
        return pb.EmbedResponse(embeddings=embeddings, model=_VERSION, method=_method(request.options))

    def EmbedStream(  # noqa: N802
        self, requests: Iterator[pb.EmbedStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.EmbedStreamResponse]:
        """The outcome of each document."""
        for request in requests:
            try:
                (embedding,) = self._fake._embed([request.document], request.options, "document")
            except StatusError as error:
                if error.status.code != code_pb2.INVALID_ARGUMENT:
                    _abort(context, error)
                yield pb.EmbedStreamResponse(error=error.status, model=_VERSION)
            else:
                method = _method(request.options)
                yield pb.EmbedStreamResponse(embedding=embedding, model=_VERSION, method=method)

    def GetModel(self, _: pb.GetModelRequest, context: grpc.ServicerContext) -> pb.GetModelResponse:  # noqa: N802
        """The description of a model that does not exist."""
        try:
            self._fake._check_ready()
        except StatusError as error:
            _abort(context, error)
        model = pb.ModelInfo(
            version=_VERSION,
            algorithm=pb.ALGORITHM_DBOW,
            vector_size=self._fake.vector_size,
            vocabulary_size=1000,
            negative=5,
            methods=[pb.METHOD_SGD, pb.METHOD_MAP],
            defaults=DEFAULTS,
            limits=pb.Limits(**vars(self._fake.limits)),
            tokenizer=pb.Tokenizer(kind="regex", lowercase=True, pattern=r"\w+"),
        )
        return pb.GetModelResponse(model=model)


def _method(options: pb.InferenceOptions) -> pb.Method:
    return options.method or DEFAULTS.method


def _abort(context: grpc.ServicerContext, error: StatusError) -> NoReturn:
    trailers: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", error.status.SerializeToString())]
    retry = error_details_pb2.RetryInfo()
    if any(detail.Unpack(retry) for detail in error.status.details):
        # gRPC's retry policies use this instead of their own backoff.
        trailers.append(("grpc-retry-pushback-ms", str(retry.retry_delay.ToMilliseconds())))
    context.set_trailing_metadata(tuple(trailers))
    code = next(code for code in grpc.StatusCode if code.value[0] == error.status.code)
    context.abort(code, error.status.message)


@contextmanager
def fake_server(*, vector_size: int = 100, limits: Limits = LIMITS) -> Iterator[FakeServer]:
    """Run a `FakeServer` on a free loopback port. It is ready at once, and stops at the end of the `with` block.

    `vector_size` and `limits` are what its GetModel reports.
    """
    fake = FakeServer(vector_size=vector_size, limits=limits)
    fake.set_ready(True)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="paravec-fake") as pool:
        server = grpc.server(pool, options=[("grpc.max_receive_message_length", limits.max_message_bytes)])
        embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(_Servicer(fake), server)
        server.add_generic_rpc_handlers((fake._health,))
        fake.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield fake
        finally:
            server.stop(None).wait()
