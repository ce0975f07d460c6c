"""Splits a stream of documents into calls, and puts their outcomes in order again."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from paravec.v1 import embedding_pb2 as pb

from ..errors import (
    InvalidArgumentError,
    ModelChangedError,
    ParavecError,
    ServerError,
    from_status,
    with_document_number,
    with_offset,
)
from ..types import Document, Embedding, Limits, ModelVersion
from . import messages
from .call_settings import CallSettings, invalid
from .calls import EMBED_STREAM, Program, Sleep
from .decode import method_name, model_version
from .programs import CallPrograms

ErrorMode = Literal["raise", "return"]

Outcome = Embedding | ParavecError
"""What a stream yields for a document."""

BatchResult = tuple[Sequence[Outcome], ModelVersion | None]
"""The outcomes of a batch, and the model that made them; None if the batch needed no call."""


def check_error_mode(errors: ErrorMode) -> ErrorMode:
    """`errors` itself; InvalidArgumentError for an unknown value."""
    if errors not in ("raise", "return"):
        raise invalid("errors", f'must be "raise" or "return", not {errors!r}')
    return errors


class StreamBatcher:
    """Collects documents, returns a program for each batch of them, and unpacks the results in order.

    A batch is due when it is full, or when no call is in flight. So fast sources are sent in few calls, and a lone
    document at once. A batch is an Embed call with the usual retries, so a failure never breaks the stream: no document
    is lost or answered twice.
    """

    def __init__(
        self,
        programs: CallPrograms,
        limits: Limits,
        options: pb.InferenceOptions,
        errors: ErrorMode,
        settings: CallSettings,
    ) -> None:
        config = programs.config
        self._programs, self._options, self._errors, self._settings = programs, options, errors, settings
        self._max_message_bytes = limits.max_message_bytes
        self._batch_documents = min(config.batch.documents, limits.max_documents)
        self._batch_bytes = min(config.batch.bytes, limits.max_message_bytes // 2)
        timeout = config.stream_timeout
        self._deadline = float("inf") if timeout is None else time.monotonic() + timeout
        self._queue: deque[tuple[pb.Document | ParavecError, int]] = deque()
        # Two counters instead of one, because `add` may run on another thread than the rest.
        self._added_bytes = self._sent_bytes = self._added = self._sent = 0
        self._model: ModelVersion | None = None
        self.source_ended = False
        """Set when `add` will not be called again."""
        self.source_error: BaseException | None = None
        """What the caller's iterator of documents raised."""

    @property
    def empty(self) -> bool:
        """Whether no document is queued."""
        return not self._queue

    @property
    def full(self) -> bool:
        """Whether two batches are queued, which is enough to read ahead."""
        queued_bytes = self._added_bytes - self._sent_bytes
        return len(self._queue) >= 2 * self._batch_documents or queued_bytes >= 2 * self._batch_bytes

    def add(self, document: Document) -> None:
        """Queue a document. An invalid one is queued as its error, to keep the order.

        May be called on another thread than the other methods, without a lock.
        """
        item: pb.Document | ParavecError
        try:
            item = messages.document_message(document, "documents[0]")
            size = messages.message_size(item, "documents[0]", self._max_message_bytes)
        except ParavecError as error:
            item, size = with_offset(error, self._added), 0
        self._added += 1
        self._added_bytes += size
        self._queue.append((item, size))

    def next_batch(self, idle: bool) -> Program[BatchResult] | None:
        """A program for the next batch, or None if none is due. `idle`: no call is in flight."""
        queued_bytes = self._added_bytes - self._sent_bytes
        full = len(self._queue) >= self._batch_documents or queued_bytes >= self._batch_bytes
        if not self._queue or not (full or idle or self.source_ended):
            return None
        batch: list[pb.Document | ParavecError] = []
        batch_bytes = 0
        while (
            self._queue
            and len(batch) < self._batch_documents
            and (not batch or batch_bytes + self._queue[0][1] <= self._batch_bytes)
        ):
            item, size = self._queue.popleft()
            batch.append(item)
            batch_bytes += size
        self._sent_bytes += batch_bytes
        offset, self._sent = self._sent, self._sent + len(batch)
        return self._embed(batch, offset)

    def outcomes(self, result: BatchResult) -> Iterator[Outcome]:
        """The outcomes of the next batch. Raises a document's error if errors="raise", and ModelChangedError."""
        outcomes, model = result
        if model and self._model and model != self._model:
            raise ModelChangedError(self._model.version, model.version)
        self._model = model or self._model
        for outcome in outcomes:
            if isinstance(outcome, ParavecError) and self._errors == "raise":
                raise outcome
            yield outcome

    def _embed(self, batch: Sequence[pb.Document | ParavecError], offset: int) -> Program[BatchResult]:
        """The outcomes of a batch whose first document has number `offset` in the stream."""
        valid = [item for item in batch if isinstance(item, pb.Document)]
        if not valid:
            yield Sleep(0)  # runners need at least one step
            return [item for item in batch if isinstance(item, ParavecError)], None
        config = self._programs.config
        arguments: dict[str, Any] = {
            "settings": self._settings,
            "deadline": self._deadline,
            "total_backoff": (self._settings.timeout or config.timeout) if config.retry.total_backoff else 0,
        }
        outcomes: Iterator[Outcome]
        try:
            embeddings = yield from self._programs.embed(valid, self._options, **arguments)
            outcomes, model = iter(embeddings), embeddings.model
        except InvalidArgumentError as error:
            if not any(violation.field.startswith("documents[") for violation in error.violations):
                raise
            # One invalid document fails the whole Embed call. EmbedStream has an outcome for each document.
            requests = [pb.EmbedStreamRequest(document=document, options=self._options) for document in valid]
            responses = yield from self._programs.caller.call(EMBED_STREAM, requests, **arguments)
            if len(responses) != len(valid):
                problem = f"got {len(responses)} outcomes for {len(valid)} documents"
                raise ServerError(problem, code="INTERNAL") from None
            model = model_version(responses[0].model)
            numbers = (offset + i for i, item in enumerate(batch) if not isinstance(item, ParavecError))
            outcomes = map(_outcome, responses, numbers)
        if len(valid) == len(batch):
            return list(outcomes), model
        return [item if isinstance(item, ParavecError) else next(outcomes) for item in batch], model


def open_stream(
    programs: CallPrograms, options: pb.InferenceOptions, errors: ErrorMode, settings: CallSettings
) -> Program[StreamBatcher]:
    """A batcher for a new stream; asks for the server's limits if they are unknown."""
    limits = yield from programs.limits(settings)
    return StreamBatcher(programs, limits, options, errors, settings)


def _outcome(response: pb.EmbedStreamResponse, number: int) -> Outcome:
    """The outcome in a response, for the document with this number in the stream."""
    if response.WhichOneof("outcome") != "embedding":
        return with_document_number(from_status(response.error), number)
    embedding = response.embedding
    return Embedding(
        np.array(embedding.vector, np.float32),
        embedding.token_count,
        embedding.known_token_count,
        embedding.truncated,
        method_name(response.method),
    )
