"""The synchronous client."""

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
from .errors import (
    CancelledError,
    DeadlineError,
    ModelChangedError,
    ParavecError,
    UnavailableError,
    from_call,
    from_status,
)
from .policy import CALL_PATIENCE, CHANNEL_OPTIONS, RETRIED, Retries
from .security import Authorization, open_channel
from .config import ClientConfig
from .types import Document, Embedding, InferenceOptions, Limits, ModelInfo, Vector
from .unanswered import Unanswered

SERVICE = pb.DESCRIPTOR.services_by_name["EmbeddingService"].full_name

# Seconds between two looks at a server that is not ready.
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0

# Bytes of one document that is sent without a look at the server's limits.
_SHORT = 2**16


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
        self._channel = open_channel(self.config, CHANNEL_OPTIONS)
        self._stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(self._channel)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)
        self._limits: Limits | None = None
        self._retries = Retries()

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
        short = len(messages) == 1 and messages[0].ByteSize() <= _SHORT
        for batch in [messages] if short else wire.batches(messages, self._server_limits()):
            request = pb.EmbedRequest(documents=batch, options=message)
            try:
                response = self._retried(self._stub.Embed, request)
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

        A stream that breaks is resumed on another connection, with the documents that were not answered. It fails once
        no server has answered over `ClientConfig.timeout` seconds of trying, or with ModelChangedError if the servers
        have moved to another model.
        """
        message = wire.options_message(options)
        largest = self._server_limits().max_message_bytes
        faults: dict[int, ParavecError] = {}

        def requests() -> Iterator[pb.EmbedStreamRequest]:
            for i, document in enumerate(documents):
                try:
                    content = wire.document_message(document, f"documents[{i}]", largest)
                except ParavecError as fault:
                    # An empty message keeps the document's place in the stream; the server refuses it too.
                    faults[i] = fault
                    content = pb.Document()
                yield pb.EmbedStreamRequest(document=content, options=message)

        unanswered = Unanswered(requests())
        try:
            for response in self._resumed(unanswered):
                i = unanswered.answer()
                if response.WhichOneof("outcome") == "embedding":
                    yield wire.read_embedding(response.embedding)
                    continue
                outcome = faults.pop(i, None) or from_status(response.error)
                if errors == "raise":
                    raise outcome
                yield outcome
        finally:
            unanswered.close()
        if unanswered.failure:
            # The documents' own iterator failed: what was sent is answered, now its error is the caller's.
            raise unanswered.failure

    def _resumed(self, unanswered: Unanswered[pb.EmbedStreamRequest]) -> Iterator[pb.EmbedStreamResponse]:
        """The answers of a stream, and of those that follow it when it breaks."""
        end = time.monotonic() + self.config.stream_timeout
        pauses = self._retries.pauses(self.config.timeout)
        model: pb.ModelVersion | None = None
        while True:
            call = self._begun(self._stub.EmbedStream, unanswered.messages(), end - time.monotonic())
            try:
                first = True
                for response in call:
                    if first:
                        first, pauses = False, self._retries.pauses(self.config.timeout)
                        self._retries.answered()
                        if model and model != response.model:
                            raise ModelChangedError(model.version, response.model.version)
                        model = response.model
                    yield response
                return
            except grpc.RpcError as error:
                self._pause_after(error, pauses, end)
            finally:
                call.cancel()

    def model(self) -> ModelInfo:
        """The model that the server holds, its defaults and the server's limits."""
        model = wire.read_model(self._retried(self._stub.GetModel, pb.GetModelRequest()).model)
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

    def _retried(self, method: Any, request: Any) -> Any:
        """The response of a call, or of another try of it."""
        end = time.monotonic() + self.config.timeout
        pauses = self._retries.pauses(CALL_PATIENCE)
        while True:
            try:
                response = self._begun(method, request, end - time.monotonic())
            except grpc.RpcError as error:
                self._pause_after(error, pauses, end)
            else:
                self._retries.answered()
                return response

    def _pause_after(self, error: grpc.RpcError, pauses: Iterator[float], end: float) -> None:
        """Return when it is time to try again; raise the error's like if there is no sense in it."""
        failure = from_call(error)
        # What gRPC itself refuses, such as a message that is too large, has no word on when to come again.
        hopeless = failure.code == "RESOURCE_EXHAUSTED" and failure.retry_after is None
        pause = next(pauses, None) if failure.code in RETRIED and not hopeless else None
        if pause is not None:
            pause += failure.retry_after or 0
        if pause is None or time.monotonic() + pause > end:
            raise failure from error
        time.sleep(pause)

    def _call(self, method: Any, request: Any, timeout: float | None = None) -> Any:
        try:
            return self._begun(method, request, self.config.timeout if timeout is None else timeout)
        except grpc.RpcError as error:
            raise from_call(error) from error

    def _begun(self, method: Any, request: Any, timeout: float) -> Any:
        try:
            return method(request, timeout=timeout, metadata=self._authorization.metadata())
        except ValueError as error:
            raise CancelledError("the client is closed", code="CANCELLED") from error

    def _server_limits(self) -> Limits:
        return self._limits or self.model().limits
