"""What the services share: compute slots, the encoder, and calls with one request that asks for vectors."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

from paravec_model.encoder import Encoder, Encoding
from paravec_model.inference.similar import DocumentIndex, Found
from paravec_model.lexical import LexicalQuery
from paravec_model.options import InferenceOptions, Stop
from paravec_model.text.token_ids import Document, TokenIds

from ..rpc.call import Call, RpcMethod
from ..rpc.compute_slots import ComputeSlots
from ..rpc.errors import InvalidArgumentError, RequestError, TooManyTokensError
from ..settings import Settings
from ..telemetry.counters import WorkerCounters

# About how many bytes of a request hold one token.
_TOKEN_BYTES = 5

# Requests with more bytes or documents than these are not short.
_SHORT_REQUEST_BYTES, _SHORT_REQUEST_DOCUMENTS = 2048, 4


class Inference:
    """The encoder, once the model is loaded, and the slots to compute in."""

    encoder: Encoder

    def __init__(self, settings: Settings, counters: WorkerCounters, slots: ComputeSlots) -> None:
        self._slots = slots
        self.max_tokens = settings.max_tokens
        """The most tokens of a document."""
        self._counters = counters

    def estimate_seconds(self, size: int) -> float:
        """About how many seconds one core computes for a request of `size` bytes with default options."""
        return self.encoder.estimate_seconds(size // _TOKEN_BYTES)

    @contextmanager
    def compute_slot(self, call: Call) -> Iterator[Stop]:
        """Hold a slot for all that the call computes: parsing, inference and serialization. So no more threads contend
        for the GIL than there are slots.

        Yields a function for the work to call often: it lets other connections compute when it is their turn, and
        returns True once the call is cancelled. StoppedError if the call is cancelled before it gets a slot,
        WaitedTooLongError after `max-wait-seconds`.
        """
        with nullcontext(call.slot) if call.slot else self._slots.hold(call.peer, call.on_cancel) as slot:

            def stop() -> bool:
                slot.yield_if_due()
                return call.is_cancelled()

            yield stop

    def to_token_ids(
        self, documents: Sequence[Document], path: Callable[[int], str], stop: Stop, max_tokens: int
    ) -> TokenIds:
        """Tokenize documents; TooManyTokensError names the path of one that has more than
        `max_tokens`."""
        ids = self.encoder.to_token_ids(documents, self.max_tokens, stop)
        for i, count in enumerate(ids.token_counts):
            if count > max_tokens:
                raise TooManyTokensError(path(i), count, max_tokens)
        return ids

    def infer(self, call: Call, ids: TokenIds, options: InferenceOptions, stop: Stop) -> Encoding:
        """Infer vectors on this thread, which holds a slot."""
        call.set_work(self.encoder.estimate_seconds(ids.used, options))
        encoding = self._infer(ids, options, stop)
        call.documents += len(ids.token_counts)
        call.tokens += ids.used
        return encoding

    def infer_short(self, documents: Sequence[Document], options: InferenceOptions) -> Encoding:
        """Tokenize and infer the documents of short calls, without a slot."""
        return self._infer(self.encoder.to_token_ids(documents, self.max_tokens), options)

    def _infer(self, ids: TokenIds, options: InferenceOptions, stop: Stop = bool) -> Encoding:
        began = perf_counter()
        encoding = self.encoder.infer(ids, options, stop)
        seconds, tokens = perf_counter() - began, ids.used
        self._counters.count_inference(len(ids.token_counts), tokens, tokens - len(ids.ids), seconds)
        return encoding

    def find_similar(
        self,
        index: DocumentIndex,
        vectors: Sequence[Sequence[float]],
        top_k: int,
        stop: Stop,
        lexical: Sequence[LexicalQuery | None],
    ) -> list[Found]:
        """The training documents nearest to each query, on this thread, which holds a slot."""
        began = perf_counter()
        found = index.find(vectors, top_k, stop, lexical)
        self._counters.add("inference_seconds", perf_counter() - began)
        return found


class Options(NamedTuple):
    """The options of a request, with the model's defaults filled in."""

    inference: InferenceOptions
    max_tokens: int
    """How many tokens a document may have; NO_LIMIT if longer ones are truncated."""


@dataclass(slots=True)
class EmbeddingRequest:
    """A parsed request for the vectors of documents."""

    documents: Sequence[Document]
    options: Options
    path: Callable[[int], str]
    """The path of a document in the message, for errors."""
    response: Any
    """What the protocol needs to write the response."""


class EmbeddingRpc:
    """A method with one request and one response that embeds documents, whatever the protocol."""

    def __init__(
        self,
        inference: Inference,
        parse_request: Callable[[bytes], EmbeddingRequest],
        write_response: Callable[[Any, Encoding], bytes],
    ) -> None:
        """`parse_request` raises RequestError if the request is wrong. `write_response` takes its `response`."""
        self._inference, self._parse_request, self._write_response = inference, parse_request, write_response
        self.method = RpcMethod(self._embed, batcher=self, estimate_seconds=inference.estimate_seconds)

    def _embed(self, call: Call, message: bytes) -> bytes:
        with self._inference.compute_slot(call) as stop:
            request: EmbeddingRequest = call.request or self._parse_request(message)
            options = request.options
            ids = self._inference.to_token_ids(request.documents, request.path, stop, options.max_tokens)
            return self._write_response(request.response, self._inference.infer(call, ids, options.inference, stop))

    def batch_key(self, call: Call, message: bytes) -> InferenceOptions | None:
        """Short calls with the same options run as one batch."""
        # A document has at most as many tokens as bytes, so none of these can be too long.
        if len(message) > min(_SHORT_REQUEST_BYTES, self._inference.max_tokens):
            return None
        try:
            request = self._parse_request(message)
        except RequestError:
            # `_embed` raises it again, and the call fails with it.
            return None
        call.request = request
        options = request.options.inference
        if len(request.documents) > _SHORT_REQUEST_DOCUMENTS:
            return None
        return options if self._inference.encoder.is_short(len(message) // _TOKEN_BYTES, options) else None

    def run_batch(self, calls: Sequence[Call]) -> list[bytes]:
        """Infer the documents of all calls together."""
        documents: list[Document] = []
        for call in calls:
            documents += call.request.documents
        encoding = self._inference.infer_short(documents, calls[0].request.options.inference)
        responses, end = [], 0
        for call in calls:
            request: EmbeddingRequest = call.request
            begin, end = end, end + len(request.documents)
            part = encoding.part(begin, end)
            call.documents, call.tokens = end - begin, sum(part.token_counts)
            responses.append(self._write_response(request.response, part))
        return responses


def check_count(count: int, limit: int, path: str) -> None:
    """InvalidArgumentError unless a request may have so many documents; `path` names the field that has the count."""
    if not 1 <= count <= limit:
        raise InvalidArgumentError(path, f"must be 1 to {limit}, not {count}")
