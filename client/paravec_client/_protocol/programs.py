"""A program for each method of the clients; `calls` says what a program is."""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from paravec.v1 import embedding_pb2 as pb

from ..config import ClientConfig
from ..errors import DeadlineError, ModelChangedError, ParavecError, ServerError, UnavailableError, with_offset
from ..types import Document, Embeddings, InferenceOptions, Limits, ModelInfo, Query, SimilarDocuments, Tag, Vector
from . import messages
from .call_settings import CallSettings, check_timeout, invalid
from .calls import CHECK, EMBED, FIND_SIMILAR, GET_DOCUMENT_VECTORS, GET_MODEL, SERVICE, Call, Program, Sleep
from .decode import decode_embed_response
from .responses import model_info, similar_documents
from .retry import RetryingCaller

_log = logging.getLogger("paravec")

# Seconds between two health checks of `wait_until_ready`; the interval doubles each time.
_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.05, 1.0

# A single document up to this size is sent without asking for the server's limits first.
_SHORT_DOCUMENT_BYTES = 2**16

_NO_SETTINGS = CallSettings()


class CallPrograms:
    """The programs of one client, with the state that they share: the retry budget and the server's limits."""

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        self.caller = RetryingCaller(config)
        self._limits: Limits | None = None

    def model(self, settings: CallSettings = _NO_SETTINGS) -> Program[ModelInfo]:
        """The model that the server holds."""
        response = yield from self.caller.call(GET_MODEL, pb.GetModelRequest(), settings)
        model = model_info(response.model)
        self._limits = model.limits
        return model

    def limits(self, settings: CallSettings) -> Program[Limits]:
        """The server's limits, from the first answer of GetModel."""
        return self._limits or (yield from self.model(settings)).limits

    def plan_embed(
        self, documents: Iterable[Document], options: InferenceOptions | None, settings: CallSettings
    ) -> Program[list[Program[Embeddings]]]:
        """Programs of one call each, which together embed a list of documents."""
        values = messages.plain_values(documents)
        requests = [messages.document_message(document, f"documents[{i}]") for i, document in enumerate(values)]
        message = messages.options_message(options)
        if not requests:
            return [self._no_documents(settings)]
        if len(requests) == 1 and requests[0].ByteSize() <= _SHORT_DOCUMENT_BYTES:
            return [self._embed_batch(requests, 0, message, settings)]
        limits = yield from self.limits(settings)
        offset, programs = 0, []
        for batch in messages.split_into_batches(requests, limits, self.config.batch):
            programs.append(self._embed_batch(batch, offset, message, settings))
            offset += len(batch)
        return programs

    def _no_documents(self, settings: CallSettings) -> Program[Embeddings]:
        model = yield from self.model(settings)
        counts = np.empty(0, np.int64)
        return Embeddings(np.empty((0, model.vector_size), np.float32), counts, counts, counts > 0, model.identity)

    def _embed_batch(
        self, documents: Sequence[pb.Document], offset: int, options: pb.InferenceOptions, settings: CallSettings
    ) -> Program[Embeddings]:
        """Embed a batch. Errors number its documents from `offset`, as in the caller's list."""
        try:
            return (yield from self.embed(documents, options, settings))
        except ParavecError as error:
            raise with_offset(error, offset) from error.__cause__

    def embed(
        self,
        documents: Sequence[pb.Document],
        options: pb.InferenceOptions,
        settings: CallSettings,
        **retry_arguments: Any,
    ) -> Program[Embeddings]:
        """One call of Embed; `retry_arguments` are those of `RetryingCaller.call`."""
        request = pb.EmbedRequest(documents=documents, options=options)
        data = yield from self.caller.call(EMBED, request, settings, **retry_arguments)
        embeddings = decode_embed_response(data)
        if len(embeddings) != len(documents):
            raise ServerError(f"got {len(embeddings)} embeddings for {len(documents)} documents", code="INTERNAL")
        return embeddings

    def find_similar(
        self,
        queries: Iterable[Query],
        top_k: int,
        options: InferenceOptions | None,
        lexical_weight: float | None,
        settings: CallSettings,
    ) -> Program[list[SimilarDocuments]]:
        """The training documents nearest to each query, from one or more calls."""
        requests = [messages.query_message(query, f"queries[{i}]") for i, query in enumerate(queries)]
        template = messages.find_similar_message(top_k, options, lexical_weight)
        limits = yield from self.limits(settings)
        results: list[SimilarDocuments] = []
        model: pb.ModelVersion | None = None
        for batch in messages.split_into_batches(requests, limits, self.config.batch, "queries"):
            request = pb.FindSimilarRequest(queries=batch)
            request.MergeFrom(template)
            try:
                response = yield from self.caller.call(FIND_SIMILAR, request, settings)
            except ParavecError as error:
                raise with_offset(error, len(results)) from error.__cause__
            _check_same_model(model, response.model)
            model = response.model
            results += similar_documents(response)
        return results

    def document_vectors(self, tags: Iterable[Tag], settings: CallSettings) -> Program[Vector]:
        """The vectors of training documents, from one or more calls."""
        requests = [messages.tag_message(tag, f"tags[{i}]") for i, tag in enumerate(tags)]
        if not requests:
            return np.empty((0, (yield from self.model(settings)).vector_size), np.float32)
        limits = yield from self.limits(settings)
        rows: list[pb.Vector] = []
        model: pb.ModelVersion | None = None
        for batch in messages.split_into_batches(requests, limits, self.config.batch, "tags"):
            request = pb.GetDocumentVectorsRequest(tags=batch)
            try:
                response = yield from self.caller.call(GET_DOCUMENT_VECTORS, request, settings)
            except ParavecError as error:
                raise with_offset(error, len(rows)) from error.__cause__
            if len(response.vectors) != len(batch):
                raise ServerError(f"got {len(response.vectors)} vectors for {len(batch)} tags", code="INTERNAL")
            _check_same_model(model, response.model)
            model = response.model
            rows += response.vectors
        if len(sizes := {len(row.values) for row in rows}) > 1:
            raise ServerError(f"got vectors of {' and '.join(map(str, sorted(sizes)))} numbers", code="INTERNAL")
        return np.array([row.values for row in rows], np.float32)

    def health(self, service: str, settings: CallSettings) -> Program[str]:
        """The health status of a service, without retries."""
        if not isinstance(service, str):
            raise invalid("service", f"must be a str, not {type(service).__name__}")
        timeout = settings.timeout or self.config.timeout
        try:
            status: str = yield Call(CHECK, service, timeout, settings.metadata)
        except ParavecError as error:
            if error.code != "NOT_FOUND":
                raise
            status = "SERVICE_UNKNOWN"
        _log.debug("health of %s: %s", service or "the process", status)
        return status

    def wait_until_ready(self, timeout: float, settings: CallSettings = _NO_SETTINGS) -> Program[None]:
        """Check health until the server is ready."""
        timeout = check_timeout(timeout)
        end = time.monotonic() + timeout
        interval = _FIRST_POLL_SECONDS
        status = ""
        while True:
            try:
                left = max(0.001, end - time.monotonic())
                status = yield from self.health(SERVICE, settings._replace(timeout=left))
            except UnavailableError as error:
                status = str(error)
            except DeadlineError as error:
                # An earlier status says more about the reason.
                status = status or str(error)
            if status == "SERVING":
                _log.info("%s is ready", self.config.target)
                return
            if time.monotonic() + interval > end:
                problem = f"{self.config.target}: not ready after {timeout:g} s ({status})"
                raise DeadlineError(problem, code="DEADLINE_EXCEEDED")
            _log.info("%s is not ready: %s", self.config.target, status)
            yield Sleep(interval)
            interval = min(2 * interval, _LONGEST_POLL_SECONDS)


def _check_same_model(before: pb.ModelVersion | None, now: pb.ModelVersion) -> None:
    if before and before != now:
        raise ModelChangedError(before.version, now.version)


def concatenate(parts: Sequence[Embeddings]) -> Embeddings:
    """The embeddings of a list, from those of its batches in order; ModelChangedError if their models differ."""
    first = parts[0]
    if len(parts) == 1:
        return first
    for part in parts:
        if part.model != first.model:
            raise ModelChangedError(first.model.version, part.model.version)
    return Embeddings(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.token_counts for part in parts]),
        np.concatenate([part.known_token_counts for part in parts]),
        np.concatenate([part.truncated for part in parts]),
        first.model,
        first.method,
    )
