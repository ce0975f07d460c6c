"""A server in the process of a test, for programs that use the client; it needs no model and nothing beyond the client.

    from paravec_client.testing import paravec_server  # a fixture of pytest, with a server of its own for each test

    def test_mine(paravec_server):
        with EmbeddingClient(paravec_server.target) as client:
            ...

Without pytest, `with fake_server() as server:`. It speaks the contract over a real port of the loopback, with the real
server's limits and statuses. The vectors mean nothing: each is drawn from the words of its document, so equal documents
have equal vectors on every machine, and others others. A word that begins with "unknown" is one that the model lacks.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Condition
from typing import Any, Literal

import grpc
import numpy as np
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from paravec.v1 import embedding_pb2 as pb
from paravec.v1 import embedding_pb2_grpc

from ._protocol import health
from ._protocol.programs import SERVICE
from .types import Limits

LIMITS = Limits(max_documents=256, max_tokens=10_000, max_epochs=1000, max_message_bytes=4 * 2**20, max_top_k=100)
"""The real server's, when its settings do not say otherwise."""

_VERSION = pb.ModelVersion(name="fake", version="1", digest="sha256:" + 64 * "0")
_DEFAULTS = pb.InferenceOptions(
    method=pb.METHOD_SGD, epochs=20, alpha=0.025, min_alpha=0.0001, seed=0, normalize=False, truncate=False
)

_UNUSED: tuple[Literal["epochs", "alpha", "min_alpha", "seed"], ...] = ("epochs", "alpha", "min_alpha", "seed")
"""Options that map does not use."""


class _FailureError(Exception):
    """A call or a document that fails, with its google.rpc.Status."""

    def __init__(self, code: str, text: str, *details: Any) -> None:
        self.status = status_pb2.Status(code=code_pb2.Code.Value(code), message=text)
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            self.status.details.append(packed)


def _invalid(path: str, problem: str) -> _FailureError:
    violation = error_details_pb2.BadRequest.FieldViolation(field=path, description=problem)
    return _FailureError(
        "INVALID_ARGUMENT", f"{path}: {problem}", error_details_pb2.BadRequest(field_violations=[violation])
    )


class _Health(grpc.GenericRpcHandler):
    """grpc.health.v1: what Check and Watch say of each service."""

    def __init__(self) -> None:
        self._statuses: dict[str, str] = {}
        self._changed = Condition()

    def set(self, service: str, status: str) -> None:
        """Say this from now on."""
        with self._changed:
            self._statuses[service] = status
            self._changed.notify_all()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """What answers a method, if it is one of the two."""
        codec: dict[str, Any] = {
            "request_deserializer": health.read_service,
            "response_serializer": health.write_status,
        }
        if details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(self._check, **codec)
        if details.method == "/grpc.health.v1.Health/Watch":
            return grpc.unary_stream_rpc_method_handler(self._watch, **codec)
        return None

    def _check(self, service: str, context: grpc.ServicerContext) -> str:
        if service not in self._statuses:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return self._statuses[service]

    def _watch(self, service: str, context: grpc.ServicerContext) -> Iterator[str]:
        """The statuses of a service, until who asked is gone."""
        context.add_callback(self._wake)
        told = None
        while context.is_active():
            with self._changed:
                status = self._statuses.get(service, "SERVICE_UNKNOWN")
                if status == told:
                    self._changed.wait()
                    continue
            told = status
            yield status

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


@dataclass
class FakeServer:
    """What runs, and how to make it fail.

    Attributes:
        target: Where it listens: a client's target.
        vector_size: Numbers in a vector.
        limits: What it accepts in one call.
        texts: Every document that was embedded, in the order in which they came.
    """

    target: str = ""
    vector_size: int = 100
    limits: Limits = LIMITS
    texts: list[str | list[str]] = field(default_factory=list)
    _failures: list[_FailureError] = field(default_factory=list)
    _health: _Health = field(default_factory=_Health)

    def fail(self, code: str, times: int = 1, retry_after: float | None = None) -> None:
        """Answer the next calls that embed with this status, e.g. UNAVAILABLE; `retry_after` is the server's advice.

        The client tries UNAVAILABLE again by itself, and RESOURCE_EXHAUSTED with `retry_after`.
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
        self._failures += [_FailureError(code, "told to fail", *details)] * times

    def set_ready(self, ready: bool) -> None:
        """Whether it says that it is ready; if not, calls are refused as by a server that loads or drains."""
        self._health.set("", "SERVING")
        self._health.set(SERVICE, "SERVING" if ready else "NOT_SERVING")
        self._ready = ready

    def _check_state(self) -> None:
        if not self._ready:
            raise _FailureError("UNAVAILABLE", "the model is loading")

    def _embed(self, documents: Sequence[pb.Document], options: pb.InferenceOptions, path: str) -> list[pb.Embedding]:
        """Embed, or fail as the real server does."""
        self._check_state()
        with suppress(IndexError):
            raise self._failures.pop(0)
        self._check(options)
        read = [self._words(item, options, path.format(i)) for i, item in enumerate(documents)]
        self.texts += [item.text if item.HasField("text") else list(item.tokens.tokens) for item in documents]
        return [self._embedding(words, count, options) for words, count in read]

    def _check(self, options: pb.InferenceOptions) -> None:
        if options.method not in pb.Method.values():
            raise _invalid("options.method", "must be METHOD_SGD or METHOD_MAP for this model")
        for name in _UNUSED if options.method == pb.METHOD_MAP else ():
            if options.HasField(name):
                raise _invalid(f"options.{name}", "has no effect with METHOD_MAP: leave it out")
        if options.HasField("epochs") and not 1 <= options.epochs <= self.limits.max_epochs:
            raise _invalid("options.epochs", f"must be 1 to {self.limits.max_epochs}, not {options.epochs}")
        alpha = options.alpha if options.HasField("alpha") else _DEFAULTS.alpha
        if not 0 < alpha <= 1:
            raise _invalid("options.alpha", f"must be in (0, 1], not {alpha:g}")
        if options.HasField("min_alpha") and not 0 <= options.min_alpha <= alpha:
            raise _invalid("options.min_alpha", f"must be in [0, alpha], not {options.min_alpha:g}")

    def _words(self, document: pb.Document, options: pb.InferenceOptions, path: str) -> tuple[list[str], int]:
        """A document's words, as many as are taken, and how many there were."""
        content = document.WhichOneof("content")
        if content is None:
            raise _invalid(path, "must have text or tokens")
        text = content == "text"
        words = re.findall(r"\w+", document.text.lower()) if text else list(document.tokens.tokens)
        most = self.limits.max_tokens
        if len(words) > most and not options.truncate:
            problem = f"has {len(words)} tokens, at most {most} are taken (see the option truncate)"
            raise _invalid(f"{path}.{content}", problem)
        return words[:most], len(words)

    def _embedding(self, words: list[str], count: int, options: pb.InferenceOptions) -> pb.Embedding:
        known = [word for word in words if not word.startswith("unknown")]
        options = pb.InferenceOptions.FromString(options.SerializeToString())
        normalize = options.normalize
        options.ClearField("normalize")
        options.ClearField("truncate")
        vector = np.zeros(self.vector_size, np.float32)
        if known:
            seed = hashlib.sha256(" ".join(known).encode() + options.SerializeToString(deterministic=True)).digest()
            drawn = np.random.default_rng(list(seed)).uniform(-1, 1, self.vector_size)
            vector = (drawn / np.linalg.norm(drawn) if normalize else drawn).astype(np.float32)
        return pb.Embedding(
            vector=vector.tolist(),
            token_count=count,
            known_token_count=len(known),
            truncated=count > len(words),
        )


class _Servicer(embedding_pb2_grpc.EmbeddingServiceServicer):
    """The contract, on top of what FakeServer does."""

    def __init__(self, fake: FakeServer) -> None:
        self._fake = fake

    def Embed(self, request: pb.EmbedRequest, context: grpc.ServicerContext) -> pb.EmbedResponse:  # noqa: N802
        """The documents' embeddings."""
        most, count = self._fake.limits.max_documents, len(request.documents)
        try:
            if not 1 <= count <= most:
                raise _invalid("documents", f"must be 1 to {most}, not {count}")
            embeddings = self._fake._embed(request.documents, request.options, "documents[{}]")
        except _FailureError as failure:
            _abort(context, failure)
        return pb.EmbedResponse(embeddings=embeddings, model=_VERSION, method=_method(request.options))

    def EmbedStream(  # noqa: N802
        self, requests: Iterator[pb.EmbedStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.EmbedStreamResponse]:
        """The outcome of each document."""
        for request in requests:
            try:
                (embedding,) = self._fake._embed([request.document], request.options, "document")
            except _FailureError as failure:
                if failure.status.code != code_pb2.INVALID_ARGUMENT:
                    _abort(context, failure)
                yield pb.EmbedStreamResponse(error=failure.status, model=_VERSION)
            else:
                method = _method(request.options)
                yield pb.EmbedStreamResponse(embedding=embedding, model=_VERSION, method=method)

    def GetModel(self, _: pb.GetModelRequest, context: grpc.ServicerContext) -> pb.GetModelResponse:  # noqa: N802
        """A description of no model."""
        try:
            self._fake._check_state()
        except _FailureError as failure:
            _abort(context, failure)
        limits = self._fake.limits
        model = pb.ModelInfo(
            version=_VERSION,
            algorithm=pb.ALGORITHM_DBOW,
            vector_size=self._fake.vector_size,
            vocabulary_size=1000,
            negative=5,
            methods=[pb.METHOD_SGD, pb.METHOD_MAP],
            defaults=_DEFAULTS,
            limits=pb.Limits(**vars(limits)),
            tokenizer=pb.Tokenizer(kind="regex", lowercase=True, pattern=r"\w+"),
        )
        return pb.GetModelResponse(model=model)


def _method(options: pb.InferenceOptions) -> pb.Method:
    """The method that options ask for, or the model's."""
    return options.method or _DEFAULTS.method


def _abort(context: grpc.ServicerContext, failure: _FailureError) -> None:
    context.set_trailing_metadata((("grpc-status-details-bin", failure.status.SerializeToString()),))
    code = next(code for code in grpc.StatusCode if code.value[0] == failure.status.code)
    context.abort(code, failure.status.message)


@contextmanager
def fake_server(*, vector_size: int = 100, limits: Limits = LIMITS) -> Iterator[FakeServer]:
    """A server on a free port of the loopback, ready, and stopped at the end."""
    fake = FakeServer(vector_size=vector_size, limits=limits)
    fake.set_ready(True)
    # Who watches health keeps a thread: room for as many clients as a test may have.
    with ThreadPoolExecutor(64, thread_name_prefix="paravec-fake") as pool:
        server = grpc.server(pool, options=[("grpc.max_receive_message_length", limits.max_message_bytes)])
        embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(_Servicer(fake), server)
        server.add_generic_rpc_handlers((fake._health,))
        fake.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield fake
        finally:
            server.stop(None).wait()


try:
    import pytest
except ImportError:
    pass
else:

    @pytest.fixture
    def paravec_server() -> Iterator[FakeServer]:
        """A `FakeServer` of the test's own."""
        with fake_server() as server:
            yield server
