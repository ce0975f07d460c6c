"""The embedding service: reads a request, has the encoder infer, writes the response."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from paravec.v1 import embedding_pb2 as pb
from paravec_model.encoder import Encoder
from paravec_model.errors import StoppedError
from paravec_model.options import InferenceOptions

from . import wire
from .errors import (
    MALFORMED,
    InvalidArgumentError,
    MalformedError,
    NotReadyError,
    OverloadedError,
    status_of,
    streaming,
    unary,
)
from .settings import Settings
from .streams import read_ahead

SERVICE = pb.DESCRIPTOR.services_by_name["EmbeddingService"].full_name

_RETRY_SECONDS = 0.1

# Seconds between two looks whether somebody still waits for a turn; a look costs its place.
_LOOK = 1.0

Stop = Callable[[], bool]


class EmbeddingService:
    """paravec.v1.EmbeddingService over one encoder, which may come later than the service.

    Each call has a thread of the gRPC server, and computes on it, but no more of them at once than the settings say.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._encoder: Encoder | None = None
        self._turns: SimpleQueue[None] = SimpleQueue()
        for _ in range(settings.inference_threads):
            self._turns.put(None)
        self._draining = False
        self._in_progress = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def serve(self, encoder: Encoder) -> None:
        """Answer with this encoder from now on."""
        self._version = wire.write_version(encoder.manifest)
        # Callers ask for the same few options again and again.
        self._options = lru_cache(256)(
            partial(wire.read_options, encoder=encoder, limits=self._settings, path="options")
        )
        self._encoder = encoder

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a gRPC server needs to call this service. Unlike the generated code's, it answers bytes that are no
        message of the contract as a fault of the caller, not of the server."""
        methods = pb.DESCRIPTOR.services_by_name["EmbeddingService"].methods_by_name
        kinds = {False: grpc.unary_unary_rpc_method_handler, True: grpc.stream_stream_rpc_method_handler}
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                name: kinds[method.client_streaming](
                    getattr(self, name),
                    request_deserializer=partial(_parse, getattr(pb, method.input_type.name)),
                    response_serializer=getattr(pb, method.output_type.name).SerializeToString,
                )
                for name, method in methods.items()
            },
        )

    def drain(self) -> None:
        """Refuse calls from now on."""
        with self._changed:
            self._draining = True

    def idle(self, seconds: float) -> bool:
        """Wait until no call is in progress; False if it takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._in_progress, seconds)

    @unary
    def Embed(self, request: pb.EmbedRequest, context: grpc.ServicerContext) -> pb.EmbedResponse:  # noqa: N802
        """Embed the documents of one request."""
        with self._admitted() as encoder:
            limits = self._settings
            count = len(request.documents)
            if not 1 <= count <= limits.max_documents:
                raise InvalidArgumentError("documents", f"must be 1 to {limits.max_documents}, not {count}")
            options = self._read_options(request.options)
            stop = self._wait_for_turn(context)
            try:
                documents = [
                    wire.read_document(document, encoder.tokenize, options, limits, f"documents[{i}]")
                    for i, document in enumerate(request.documents)
                ]
                encoding = encoder.encode([d.tokens for d in documents], options.inference, stop)
                response = pb.EmbedResponse(model=self._version)
                wire.write_embeddings(documents, encoding, response.embeddings.add)
                return response
            finally:
                self._turns.put(None)

    @streaming
    def EmbedStream(  # noqa: N802
        self, requests: Iterator[pb.EmbedStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.EmbedStreamResponse]:
        """Embed documents as they come, those that have come together."""
        with self._admitted() as encoder, read_ahead(requests) as batches:
            for batch in batches:
                stop = self._wait_for_turn(context)
                try:
                    responses = self._responses(encoder, batch, stop)
                finally:
                    self._turns.put(None)
                yield from responses

    @unary
    def GetModel(self, _request: pb.GetModelRequest, _context: grpc.ServicerContext) -> pb.GetModelResponse:  # noqa: N802
        """Describe the model."""
        with self._admitted(counted=False) as encoder:
            return pb.GetModelResponse(model=wire.write_model(encoder, self._settings))

    def _responses(
        self, encoder: Encoder, requests: Sequence[pb.EmbedStreamRequest], stop: Stop
    ) -> list[pb.EmbedStreamResponse]:
        """What becomes of each document of a stream; those with the same options are inferred together."""
        responses: list[pb.EmbedStreamResponse] = []

        def add(**outcome: Any) -> pb.EmbedStreamResponse:
            responses.append(pb.EmbedStreamResponse(model=self._version, **outcome))
            return responses[-1]

        for options, run in groupby((self._read(encoder, request) for request in requests), key=lambda item: item[0]):
            items = [item[1] for item in run]
            if options is None:
                for status in items:
                    add(error=status)
                continue
            try:
                encoding = encoder.encode([d.tokens for d in items], options, stop)
            except StoppedError:
                raise
            except Exception as error:
                status = status_of(error)
                for _ in items:
                    add(error=status)
            else:
                wire.write_embeddings(items, encoding, lambda **counts: add(embedding=pb.Embedding(**counts)).embedding)
        return responses

    def _read(self, encoder: Encoder, request: pb.EmbedStreamRequest) -> tuple[InferenceOptions | None, Any]:
        """The options and tokens of a document, or None and why it cannot be embedded."""
        try:
            if request is MALFORMED:
                raise MalformedError
            options = self._read_options(request.options)
            tokens = wire.read_document(request.document, encoder.tokenize, options, self._settings, "document")
        except Exception as error:
            return None, status_of(error)
        return options.inference, tokens

    def _wait_for_turn(self, context: grpc.ServicerContext) -> Stop:
        """Take one of as many turns to compute as there are at once; returns what tells that nobody waits any more."""

        def stop() -> bool:
            return not context.is_active()

        while True:
            try:
                self._turns.get(timeout=_LOOK)
            except Empty:
                if stop():
                    raise StoppedError("nobody waits for this turn any more") from None
            else:
                return stop

    def _read_options(self, message: pb.InferenceOptions) -> wire.Options:
        # What this version does not know must not fill the cache.
        message.DiscardUnknownFields()
        return self._options(message.SerializeToString())

    @contextmanager
    def _admitted(self, *, counted: bool = True) -> Iterator[Encoder]:
        """Take a call on, or refuse it; `counted` calls are as many as the settings allow."""
        with self._lock:
            if self._draining:
                raise NotReadyError("the server is stopping")
            if self._encoder is None:
                raise NotReadyError("the model is loading")
            if counted and self._in_progress >= self._settings.max_concurrent_rpcs:
                raise OverloadedError(_RETRY_SECONDS)
            self._in_progress += 1
        try:
            yield self._encoder
        finally:
            with self._lock:
                self._in_progress -= 1
                if not self._in_progress:
                    self._changed.notify_all()


def _parse(kind: type[Message], data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError:
        return MALFORMED
