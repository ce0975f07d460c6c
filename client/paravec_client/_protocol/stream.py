"""A stream of documents, cut into calls as they come; and their outcomes put in order again."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from paravec.v1 import embedding_pb2 as pb

from ..errors import InvalidArgumentError, ModelChangedError, ParavecError, ServerError, from_status
from ..types import Document, Embedding, Limits, ModelVersion
from . import messages
from .call_settings import CallSettings, invalid
from .decode import method_name, read_version
from .programs import EMBED_STREAM, Core, Pause, Program

Errors = Literal["raise", "return"]


def checked(errors: Errors) -> Errors:
    """What is to become of the errors of documents; InvalidArgumentError for what cannot."""
    if errors not in ("raise", "return"):
        raise invalid("errors", f'must be "raise" or "return", not {errors!r}')
    return errors


Outcome = Embedding | ParavecError
Answered = tuple[Sequence[Outcome], ModelVersion | None]
"""The outcomes of a batch, and the model that made them, if one was asked."""


class Stream:
    """Takes documents, gives programs that embed a batch of them each, and tells the outcome of each document.

    A batch is sent when it is full, or else when nothing is in flight: so documents that come fast go in few calls, and
    one that comes alone goes at once. A batch is a call like any other and is tried again like any other; so there is
    no broken stream to be resumed, nothing is lost and nothing is answered twice.
    """

    def __init__(
        self, core: Core, limits: Limits, options: pb.InferenceOptions, errors: Errors, settings: CallSettings
    ) -> None:
        config = core.config
        self._core, self._options, self._errors, self._settings = core, options, errors, settings
        self._largest = limits.max_message_bytes
        self._count = min(config.batch.documents, limits.max_documents)
        self._bytes = min(config.batch.bytes, limits.max_message_bytes // 2)
        whole = config.stream_timeout
        self._end = float("inf") if whole is None else time.monotonic() + whole
        self._waiting: deque[tuple[pb.Document | ParavecError, int]] = deque()
        self._bytes_in = self._bytes_out = self._added = self._sent = 0
        self._model: ModelVersion | None = None
        self.ended = False
        """No more documents will come."""
        self.failure: BaseException | None = None
        """What the documents' own iterator raised."""

    @property
    def empty(self) -> bool:
        """Whether no document waits."""
        return not self._waiting

    @property
    def full(self) -> bool:
        """Whether enough documents wait for now: two batches."""
        return len(self._waiting) >= 2 * self._count or self._bytes_in - self._bytes_out >= 2 * self._bytes

    def add(self, document: Document) -> None:
        """A document has come. One that cannot go over the wire keeps its place.

        This may be called on a thread of its own, and needs no lock beside those who call the rest.
        """
        item: pb.Document | ParavecError
        try:
            item = messages.document_message(document, "documents[0]")
            size = messages.checked_size(item, "documents[0]", self._largest)
        except ParavecError as fault:
            item, size = fault.shifted(self._added), 0
        self._added += 1
        self._bytes_in += size
        self._waiting.append((item, size))

    def next(self, idle: bool) -> Program[Answered] | None:
        """A program for the next batch, if it is time for one; `idle`: nothing is in flight."""
        whole = len(self._waiting) >= self._count or self._bytes_in - self._bytes_out >= self._bytes
        if not self._waiting or not (whole or idle or self.ended):
            return None
        batch: list[pb.Document | ParavecError] = []
        size = 0
        while self._waiting and len(batch) < self._count and (not batch or size + self._waiting[0][1] <= self._bytes):
            item, bytes_ = self._waiting.popleft()
            batch.append(item)
            size += bytes_
        self._bytes_out += size
        first, self._sent = self._sent, self._sent + len(batch)
        return self._embed(batch, first)

    def outcomes(self, answered: Answered) -> Iterator[Outcome]:
        """What the caller hears of a batch; raises an error in its place, if that is wanted, and ModelChangedError."""
        outcomes, model = answered
        if model and self._model and model != self._model:
            raise ModelChangedError(self._model.version, model.version)
        self._model = model or self._model
        for outcome in outcomes:
            if isinstance(outcome, ParavecError) and self._errors == "raise":
                raise outcome
            yield outcome

    def _embed(self, batch: Sequence[pb.Document | ParavecError], first: int) -> Program[Answered]:
        """The outcomes of a batch whose first document is number `first` of the stream."""
        good = [item for item in batch if isinstance(item, pb.Document)]
        if not good:
            yield Pause(0)  # whoever runs programs counts on a step
            return [item for item in batch if isinstance(item, ParavecError)], None
        timeout = self._settings.timeout or self._core.config.timeout
        trying: dict[str, Any] = {"settings": self._settings, "patience": timeout, "end": self._end}
        if not self._core.config.retry.patience:
            trying["patience"] = 0
        made: Iterator[Outcome]
        try:
            embeddings = yield from self._core.embed(good, self._options, **trying)
            made, model = iter(embeddings), embeddings.model
        except InvalidArgumentError as error:
            if not any(violation.field.startswith("documents[") for violation in error.violations):
                raise
            # One document fails the whole call. The server's own stream has an outcome for each.
            requests = [pb.EmbedStreamRequest(document=document, options=self._options) for document in good]
            responses = yield from self._core.tried(EMBED_STREAM, requests, **trying)
            if len(responses) != len(good):
                raise ServerError(f"{len(responses)} answers to {len(good)} documents", code="INTERNAL") from None
            model = read_version(responses[0].model)
            numbers = (first + i for i, item in enumerate(batch) if not isinstance(item, ParavecError))
            made = map(_outcome, responses, numbers)
        if len(good) == len(batch):
            return list(made), model
        return [item if isinstance(item, ParavecError) else next(made) for item in batch], model


def _outcome(response: pb.EmbedStreamResponse, number: int) -> Outcome:
    """What a response says of the document that has this number in the caller's stream."""
    if response.WhichOneof("outcome") == "embedding":
        made = response.embedding
        vector = np.array(made.vector, np.float32)
        return Embedding(vector, made.token_count, made.known_token_count, made.truncated, method_name(response.method))
    return from_status(response.error).of_document(number)
