"""The embedding service: reads a request, has the encoder infer, writes the response."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2

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

SERVICE = pb.DESCRIPTOR.services_by_name["EmbeddingService"].full_name

_RETRY_SECONDS = 0.1

# Documents of a stream that are read ahead and inferred together.
_READ_AHEAD = 64

_END = object()

T = TypeVar("T")
Stop = Callable[[], bool]


class EmbeddingService:
    """paravec.v1.EmbeddingService over one encoder, which may come later than the service."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._encoder: Encoder | None = None
        self._threads = ThreadPoolExecutor(settings.inference_threads, thread_name_prefix="infer")
        self._draining = False
        self._in_progress = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def serve(self, encoder: Encoder) -> None:
        """Answer with this encoder from now on."""
        self._encoder = encoder
        self._version = wire.write_version(encoder.manifest)

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
        self._draining = True

    async def idle(self) -> None:
        """Return once no call is in progress."""
        await self._idle.wait()

    @unary
    async def Embed(self, request: pb.EmbedRequest, _context: Any) -> pb.EmbedResponse:  # noqa: N802
        """Embed the documents of one request."""
        with self._admitted() as encoder:
            limits = self._settings
            count = len(request.documents)
            if not 1 <= count <= limits.max_documents:
                raise InvalidArgumentError("documents", f"must be 1 to {limits.max_documents}, not {count}")
            options = wire.read_options(request.options, encoder, limits, "options")

            def work(stop: Stop) -> list[pb.Embedding]:
                documents = [
                    wire.read_document(document, encoder.tokenize, options, limits, f"documents[{i}]")
                    for i, document in enumerate(request.documents)
                ]
                return _embed(encoder, documents, options.inference, stop)

            embeddings = await self._in_thread(work)
            return pb.EmbedResponse(embeddings=embeddings, model=self._version)

    @streaming
    async def EmbedStream(  # noqa: N802
        self, requests: AsyncIterator[pb.EmbedStreamRequest], _context: Any
    ) -> AsyncGenerator[pb.EmbedStreamResponse, None]:
        """Embed documents as they come, those that have come together."""
        with self._admitted() as encoder:
            queue: asyncio.Queue[Any] = asyncio.Queue(_READ_AHEAD)
            reader = asyncio.create_task(_read_into(queue, requests))
            try:
                batch: list[Any] = []
                while not batch or batch[-1] is not _END:
                    batch = [await queue.get()]
                    while not queue.empty():
                        batch.append(queue.get_nowait())
                    documents = [request for request in batch if request is not _END]
                    for outcome in await self._in_thread(partial(self._outcomes, encoder, documents)):
                        if isinstance(outcome, pb.Embedding):
                            yield pb.EmbedStreamResponse(embedding=outcome, model=self._version)
                        else:
                            yield pb.EmbedStreamResponse(error=outcome, model=self._version)
                await reader
            finally:
                reader.cancel()

    @unary
    async def GetModel(self, _request: pb.GetModelRequest, _context: Any) -> pb.GetModelResponse:  # noqa: N802
        """Describe the model."""
        with self._admitted(counted=False) as encoder:
            return pb.GetModelResponse(model=wire.write_model(encoder, self._settings))

    def _outcomes(
        self, encoder: Encoder, requests: Sequence[pb.EmbedStreamRequest], stop: Stop
    ) -> list[pb.Embedding | status_pb2.Status]:
        """What becomes of each document of a stream; those with the same options are inferred together."""
        outcomes: list[pb.Embedding | status_pb2.Status] = []
        parsed = [self._read(encoder, request) for request in requests]
        for options, run in groupby(parsed, key=lambda item: item[0]):
            items = [item[1] for item in run]
            if options is None:
                outcomes += items
                continue
            try:
                outcomes += _embed(encoder, items, options, stop)
            except StoppedError:
                raise
            except Exception as error:
                outcomes += [status_of(error)] * len(items)
        return outcomes

    def _read(self, encoder: Encoder, request: pb.EmbedStreamRequest) -> tuple[InferenceOptions | None, Any]:
        """The options and tokens of a document, or None and why it cannot be embedded."""
        try:
            if request is MALFORMED:
                raise MalformedError
            options = wire.read_options(request.options, encoder, self._settings, "options")
            tokens = wire.read_document(request.document, encoder.tokenize, options, self._settings, "document")
        except Exception as error:
            return None, status_of(error)
        return options.inference, tokens

    async def _in_thread(self, work: Callable[[Stop], T]) -> T:
        """Run `work(stop)` on a thread for inference; stop() turns True when nobody waits for the result any more."""
        gone = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, gone.is_set)
        finally:
            gone.set()

    @contextmanager
    def _admitted(self, *, counted: bool = True) -> Iterator[Encoder]:
        """Take a call on, or refuse it; `counted` calls are as many as the settings allow."""
        if self._draining:
            raise NotReadyError("the server is stopping")
        if self._encoder is None:
            raise NotReadyError("the model is loading")
        if counted and self._in_progress >= self._settings.max_concurrent_rpcs:
            raise OverloadedError(_RETRY_SECONDS)
        self._in_progress += 1
        self._idle.clear()
        try:
            yield self._encoder
        finally:
            self._in_progress -= 1
            if not self._in_progress:
                self._idle.set()


def _parse(kind: type[Message], data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError:
        return MALFORMED


def _embed(
    encoder: Encoder, documents: Sequence[wire.Tokens], options: InferenceOptions, stop: Stop
) -> list[pb.Embedding]:
    return wire.write_embeddings(documents, encoder.encode([d.tokens for d in documents], options, stop))


async def _read_into(queue: asyncio.Queue[Any], requests: AsyncIterator[Any]) -> None:
    """Pass a stream's requests on, waiting while the queue is full, and mark its end."""
    try:
        async for request in requests:
            await queue.put(request)
    except Exception:
        await queue.put(_END)
        raise
    await queue.put(_END)
