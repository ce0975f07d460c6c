"""What both clients do, without doing it: programs that say which call comes next, and are told what became of it.

A program is a generator. It yields a `Call` or a `Pause`, is sent the response, or has the failure thrown in, and
returns what the caller asked for. Whoever runs it needs no judgement: the synchronous client calls and sleeps, the
asynchronous one awaits.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from paravec.v1 import embedding_pb2 as pb

from ..config import ClientConfig
from ..errors import DeadlineError, ModelChangedError, ParavecError, ServerError, UnavailableError
from ..types import Document, Embeddings, InferenceOptions, Limits, ModelInfo, Query, Similar
from . import health, messages
from .call_settings import CallSettings, Metadata, checked_timeout, invalid
from .decode import read_response
from .retry import RETRIED, Retries

T = TypeVar("T")

_log = logging.getLogger("paravec")

SERVICE = pb.DESCRIPTOR.services_by_name["EmbeddingService"].full_name

# Seconds between two looks at a server that is not ready.
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0

# Bytes of one document that is sent without a look at the server's limits.
_SHORT = 2**16


class Method(NamedTuple):
    """A method of the server. For another: one here and in METHODS, a program of Core's, a method of each client."""

    path: str
    """/package.Service/Method."""
    write: Callable[[Any], bytes]
    """The bytes of a request."""
    read: Callable[[bytes], Any] | None
    """The response that bytes hold; None leaves them as they are."""
    streams: bool = False
    """Requests and responses are lists of messages."""
    any_server: bool = False
    """Asks any server, not only those that are ready."""


EMBED = Method(f"/{SERVICE}/Embed", pb.EmbedRequest.SerializeToString, None)
EMBED_STREAM = Method(
    f"/{SERVICE}/EmbedStream", pb.EmbedStreamRequest.SerializeToString, pb.EmbedStreamResponse.FromString, streams=True
)
FIND_SIMILAR = Method(
    f"/{SERVICE}/FindSimilar", pb.FindSimilarRequest.SerializeToString, pb.FindSimilarResponse.FromString
)
GET_MODEL = Method(f"/{SERVICE}/GetModel", pb.GetModelRequest.SerializeToString, pb.GetModelResponse.FromString)
CHECK = Method("/grpc.health.v1.Health/Check", health.write_service, health.read_status, any_server=True)
METHODS = (EMBED, EMBED_STREAM, FIND_SIMILAR, GET_MODEL, CHECK)


@dataclass(frozen=True)
class Call:
    """To call a method once."""

    method: Method
    request: Any
    timeout: float
    """Seconds."""
    metadata: Metadata = ()


@dataclass(frozen=True)
class Pause:
    """To wait before another call."""

    seconds: float


Step = Call | Pause
Program = Generator[Step, Any, T]


_NO_SETTINGS = CallSettings()


class Core:
    """The programs of a client, and what it keeps between them."""

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        self._retries = Retries(config.retry)
        self._limits: Limits | None = None

    def model(self, settings: CallSettings = _NO_SETTINGS) -> Program[ModelInfo]:
        """The model that the server holds."""
        response = yield from self.tried(GET_MODEL, pb.GetModelRequest(), settings)
        model = messages.read_model(response.model)
        self._limits = model.limits
        return model

    def limits(self, settings: CallSettings) -> Program[Limits]:
        """What the server accepts, asked for once."""
        return self._limits or (yield from self.model(settings)).limits

    def plan(
        self, documents: Iterable[Document], options: InferenceOptions | None, settings: CallSettings
    ) -> Program[list[Program[Embeddings]]]:
        """The programs that together embed a list, each one call."""
        listed = messages.listed(documents)
        requests = [messages.document_message(document, f"documents[{i}]") for i, document in enumerate(listed)]
        message = messages.options_message(options)
        if not requests:
            return [self._no_documents(settings)]
        if len(requests) == 1 and requests[0].ByteSize() <= _SHORT:
            return [self._embed(requests, 0, message, settings)]
        limits = yield from self.limits(settings)
        first, programs = 0, []
        for batch in messages.batches(requests, limits, self.config.batch):
            programs.append(self._embed(batch, first, message, settings))
            first += len(batch)
        return programs

    def _no_documents(self, settings: CallSettings) -> Program[Embeddings]:
        model = yield from self.model(settings)
        counts = np.empty(0, np.int64)
        return Embeddings(np.empty((0, model.vector_size), np.float32), counts, counts, counts > 0, model.identity)

    def _embed(
        self, documents: Sequence[pb.Document], first: int, options: pb.InferenceOptions, settings: CallSettings
    ) -> Program[Embeddings]:
        """Embed documents of which the caller's number `first` is the first."""
        try:
            return (yield from self.embed(documents, options, settings))
        except ParavecError as error:
            raise error.shifted(first) from error.__cause__

    def embed(
        self, documents: Sequence[pb.Document], options: pb.InferenceOptions, settings: CallSettings, **trying: Any
    ) -> Program[Embeddings]:
        """One call of Embed; `trying` is for `tried`."""
        request = pb.EmbedRequest(documents=documents, options=options)
        embeddings = read_response((yield from self.tried(EMBED, request, settings, **trying)))
        if len(embeddings) != len(documents):
            raise ServerError(f"{len(embeddings)} answers to {len(documents)} documents", code="INTERNAL")
        return embeddings

    def find_similar(
        self, queries: Iterable[Query], top_k: int, options: InferenceOptions | None, settings: CallSettings
    ) -> Program[list[Similar]]:
        """What is near to each query, asked for in one call or several."""
        requests = [messages.query_message(query, f"queries[{i}]") for i, query in enumerate(queries)]
        wanted = messages.similar_message(top_k, options)
        limits = yield from self.limits(settings)
        found: list[Similar] = []
        model: pb.ModelVersion | None = None
        for batch in messages.batches(requests, limits, self.config.batch, "queries"):
            request = pb.FindSimilarRequest(queries=batch)
            request.MergeFrom(wanted)
            try:
                response = yield from self.tried(FIND_SIMILAR, request, settings)
            except ParavecError as error:
                raise error.shifted(len(found)) from error.__cause__
            if model and response.model != model:
                raise ModelChangedError(model.version, response.model.version)
            model = response.model
            found += messages.read_similar(response)
        return found

    def health(self, service: str, settings: CallSettings) -> Program[str]:
        """The server's word on a service, asked for once."""
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
        """Ask for health until the server is ready."""
        timeout = checked_timeout(timeout)
        end = time.monotonic() + timeout
        wait = _FIRST_WAIT
        status = ""
        while True:
            try:
                left = max(0.001, end - time.monotonic())
                status = yield from self.health(SERVICE, settings._replace(timeout=left))
            except UnavailableError as error:
                status = str(error)
            except DeadlineError as error:
                # What was heard before tells more.
                status = status or str(error)
            if status == "SERVING":
                _log.info("%s is ready", self.config.target)
                return
            if time.monotonic() + wait > end:
                problem = f"{self.config.target}: not ready after {timeout:g} s ({status})"
                raise DeadlineError(problem, code="DEADLINE_EXCEEDED")
            _log.info("%s is not ready: %s", self.config.target, status)
            yield Pause(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    def tried(
        self,
        method: Method,
        request: Any,
        settings: CallSettings = _NO_SETTINGS,
        *,
        patience: float | None = None,
        end: float | None = None,
    ) -> Program[Any]:
        """The response of a call, or of another try of it.

        Without `end`, a time of the monotonic clock, all tries together have the call's timeout. With it each has.
        """
        timeout = settings.timeout or self.config.timeout
        last = time.monotonic() + timeout if end is None else end
        pauses = self._retries.pauses(self.config.retry.patience if patience is None else patience)
        name, tries = method.path.rpartition("/")[2], 1
        while True:
            left = max(0.0, min(timeout, last - time.monotonic()))
            try:
                response = yield Call(method, request, left, settings.metadata)
            except ParavecError as failure:
                pause = _pause_after(failure, pauses, last)
                _log.info("%s of %s failed, is tried again in %.2f s: %s", name, self.config.target, pause, failure)
            else:
                self._retries.answered()
                _log.log(logging.INFO if tries > 1 else logging.DEBUG, "%s of %s answered at try %d", name,
                         self.config.target, tries)  # fmt: skip
                return response
            yield Pause(pause)
            tries += 1


def _pause_after(failure: ParavecError, pauses: Iterator[float], end: float) -> float:
    """Seconds to wait before another try; raises the failure if there is no sense in one."""
    # What gRPC itself refuses, such as a message that is too large, has no word on when to come again.
    hopeless = failure.code == "RESOURCE_EXHAUSTED" and failure.retry_after is None
    pause = next(pauses, None) if failure.code in RETRIED and not hopeless else None
    if pause is None:
        raise failure
    pause += failure.retry_after or 0
    if time.monotonic() + pause > end:
        raise failure
    return pause


def joined(parts: Sequence[Embeddings]) -> Embeddings:
    """The embeddings of one list, made in one call or several; ModelChangedError if not by one model."""
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


def given(programs: Iterable[Program[T]]) -> Callable[[bool], Program[T] | None]:
    """Programs that are all there, one at a time, as a stream's come when their documents do."""
    left = iter(programs)
    return partial(lambda _: next(left, None))
