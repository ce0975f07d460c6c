"""The synchronous client."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Self, overload

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc

from . import wire
from .errors import CancelledError, DeadlineError, ParavecError, UnavailableError, from_call, from_status
from .security import Authorization, open_channel
from .types import ClientConfig, Document, Embedding, InferenceOptions, Limits, ModelInfo, Vector

SERVICE = pb.DESCRIPTOR.services_by_name["EmbeddingService"].full_name

# Seconds between two looks at a server that is not ready.
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # All pods behind a headless Service, not the first that answers.
    ("grpc.lb_policy_name", "round_robin"),
    # A server that comes up is noticed within a second, however long it was away.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

# Documents of a stream that are sent and not yet answered.
_IN_FLIGHT = 256


class EmbeddingClient:
    """Embeds documents with the model that a paravec server holds.

        with EmbeddingClient("localhost:50051") as client:
            vector = client.embed("a text")             # float32, (vector_size,)
            vectors = client.embed(["a text", "another"])  # float32, (2, vector_size)

    A client may be shared by threads. Every failure is a `ParavecError`.
    """

    def __init__(self, target: str | None = None, *, timeout: float | None = None, config: ClientConfig | None = None):
        """`target` and `timeout` (seconds for each call) go before those of `config`; ConfigError if its certificates
        or token cannot be used."""
        self.config = config or ClientConfig()
        if target is not None:
            self.config = replace(self.config, target=target)
        if timeout is not None:
            self.config = replace(self.config, timeout=timeout)
        self._authorization = Authorization(self.config)
        self._channel = open_channel(self.config, _CHANNEL_OPTIONS)
        self._stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(self._channel)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)
        self._limits: Limits | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection up. Calls in progress are cancelled."""
        self._channel.close()

    @overload
    def embed(self, documents: str, options: InferenceOptions | None = None) -> Vector: ...
    @overload
    def embed(self, documents: Sequence[Document], options: InferenceOptions | None = None) -> Vector: ...

    def embed(self, documents: str | Sequence[Document], options: InferenceOptions | None = None) -> Vector:
        """The vector of one text, (vector_size,), or of a list of documents, (n, vector_size), as float32.

        A document of a list is a text or a list of tokens. More documents than the server takes in one call are split
        over several. A document at fault raises InvalidArgumentError, whose violations say which.
        """
        if isinstance(documents, str):
            return self.embed_all([documents], options)[0].vector
        embeddings = self.embed_all(documents, options)
        if not embeddings:
            return np.empty((0, self.model().vector_size), np.float32)
        return np.stack([embedding.vector for embedding in embeddings])

    def embed_all(self, documents: Sequence[Document], options: InferenceOptions | None = None) -> list[Embedding]:
        """Like `embed` of a list, with the token counts of each document beside its vector."""
        if isinstance(documents, str):
            raise wire.invalid("documents", "must be a list of documents, not one text")
        messages = [wire.document_message(document, f"documents[{i}]") for i, document in enumerate(documents)]
        message = wire.options_message(options)
        embeddings: list[Embedding] = []
        for batch in [messages] if len(messages) == 1 else wire.batches(messages, self._server_limits()):
            request = pb.EmbedRequest(documents=batch, options=message)
            try:
                response = self._call(self._stub.Embed, request)
            except ParavecError as error:
                raise error.shifted(len(embeddings)) from error.__cause__
            embeddings += map(wire.read_embedding, response.embeddings)
        return embeddings

    def embed_stream(
        self,
        documents: Iterable[Document],
        options: InferenceOptions | None = None,
        *,
        errors: Literal["raise", "return"] = "raise",
    ) -> Iterator[Embedding | ParavecError]:
        """Embed documents as they come, yielding the outcome of each, in order.

        `documents` is read only as fast as the server works, so it may be endless. With errors="return" the
        ParavecError of a document at fault is yielded in its place; with "raise" it is raised and ends the stream.
        """
        message = wire.options_message(options)
        largest = self._server_limits().max_message_bytes
        faults: dict[int, ParavecError] = {}
        failures: list[BaseException] = []
        in_flight = threading.Semaphore(_IN_FLIGHT)
        over = threading.Event()

        def requests() -> Iterator[pb.EmbedStreamRequest]:
            try:
                for i, document in enumerate(documents):
                    try:
                        content = wire.document_message(document, f"documents[{i}]", largest)
                    except ParavecError as fault:
                        # An empty message keeps the document's place in the stream; the server refuses it too.
                        faults[i] = fault
                        content = pb.Document()
                    in_flight.acquire()
                    if over.is_set():
                        return
                    yield pb.EmbedStreamRequest(document=content, options=message)
            except Exception as failure:
                # The documents' own iterator failed: what was sent is still answered, then its error is the caller's.
                failures.append(failure)

        call = self._call(self._stub.EmbedStream, requests(), self.config.stream_timeout)
        try:
            for i, response in enumerate(call):
                in_flight.release()
                if response.WhichOneof("outcome") == "embedding":
                    yield wire.read_embedding(response.embedding)
                    continue
                outcome = faults.pop(i, None) or from_status(response.error)
                if errors == "raise":
                    raise outcome
                yield outcome
        except grpc.RpcError as error:
            raise from_call(error) from error
        finally:
            over.set()
            in_flight.release()
            call.cancel()
        if failures:
            raise failures[0]

    def model(self) -> ModelInfo:
        """The model that the server holds, its defaults and the server's limits."""
        model = wire.read_model(self._call(self._stub.GetModel, pb.GetModelRequest()).model)
        self._limits = model.limits
        return model

    def health(self, service: str = SERVICE, *, timeout: float | None = None) -> str:
        """The server's own word on a service: SERVING, NOT_SERVING or SERVICE_UNKNOWN; "" asks for the process."""
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            status = self._call(self._health.Check, request, timeout).status
        except ParavecError as error:
            if error.code == "NOT_FOUND":
                return "SERVICE_UNKNOWN"
            raise
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Return once the server has its model loaded and warm; DeadlineError after `timeout` seconds."""
        end = time.monotonic() + timeout
        wait = _FIRST_WAIT
        while True:
            try:
                status = self.health(timeout=max(0.001, end - time.monotonic()))
            except (UnavailableError, DeadlineError) as error:
                status = str(error)
            if status == "SERVING":
                return
            if time.monotonic() + wait > end:
                problem = f"{self.config.target}: not ready after {timeout:g} s ({status})"
                raise DeadlineError(problem, code="DEADLINE_EXCEEDED")
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    def _call(self, method: Any, request: Any, timeout: float | None = None) -> Any:
        try:
            seconds = self.config.timeout if timeout is None else timeout
            return method(request, timeout=seconds, metadata=self._authorization.metadata())
        except grpc.RpcError as error:
            raise from_call(error) from error
        except ValueError as error:
            raise CancelledError("the client is closed", code="CANCELLED") from error

    def _server_limits(self) -> Limits:
        return self._limits or self.model().limits
