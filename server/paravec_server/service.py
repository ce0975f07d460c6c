"""The embedding service: reads a request, has the documents inferred, writes the response."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from paravec.v1 import embedding_pb2 as pb
from paravec_model.encoder import Encoder
from paravec_model.errors import StoppedError
from paravec_model.options import InferenceOptions

from . import wire
from .admission import Admission
from .call import Call, Method
from .errors import NoDocumentsError, RequestError, parse, status_of
from .inference import Inference, Tokens, check_count, read_all, while_wanted
from .pool import Inline
from .settings import Settings
from .streams import read_ahead

# Bytes and documents of a request that may be brief; bytes of a token in it, more or less.
_BRIEF, _FEW, _TOKEN = 2048, 4, 5

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["EmbeddingService"]
SERVICE = DESCRIPTOR.full_name


class EmbeddingService:
    """paravec.v1.EmbeddingService."""

    def __init__(self, settings: Settings, inference: Inference, admission: Admission) -> None:
        self._settings, self._inference, self._admission = settings, inference, admission

    def serve(self, encoder: Encoder) -> None:
        """Answer with this encoder from now on."""
        self._version = wire.write_version(encoder.manifest)
        self._encoder = encoder
        self._model = pb.GetModelResponse(model=wire.write_model(encoder, self._settings))
        self._options = wire.OptionsReader(encoder, self._settings, "options")

    def methods(self) -> dict[str, Method]:
        """What the server answers for this service."""
        return {
            f"/{SERVICE}/Embed": Method(self._embed, brief=self._is_brief),
            f"/{SERVICE}/EmbedStream": Method(self._embed_stream, requests=True, responses=True),
            f"/{SERVICE}/FindSimilar": Method(self._find_similar),
            f"/{SERVICE}/GetModel": Method(self._get_model, reads=False, counted=False, pool=Inline(1)),
        }

    def _is_brief(self, call: Call, data: bytes) -> bool:
        if len(data) > _BRIEF:
            return False
        try:
            request, options = call.read = self._read_embed(data)
        except RequestError:
            return False
        few = len(request.documents) <= _FEW
        return few and self._encoder.is_brief(len(data) // _TOKEN, options.inference)

    def _read_embed(self, data: bytes) -> tuple[pb.EmbedRequest, wire.Options]:
        request = parse(pb.EmbedRequest, data)
        check_count(len(request.documents), self._settings.max_documents, "documents")
        return request, self._options(request.options)

    def _embed(self, call: Call, data: bytes) -> pb.EmbedResponse:
        request, options = call.read or self._read_embed(data)

        def read(document: pb.Document, path: str) -> Tokens:
            return wire.read_document(document, self._encoder.tokenize, options, self._settings, path)

        documents = read_all(call, request.documents, read, "documents")
        encoding = self._inference(call, [document.tokens for document in documents], options.inference)
        response = pb.EmbedResponse(model=self._version)
        wire.write_embeddings(documents, encoding, response.embeddings.add)
        return response

    def _embed_stream(self, call: Call, messages: Iterator[bytes]) -> Iterator[pb.EmbedStreamResponse]:
        """Embed documents as they come, those that have come together."""
        with read_ahead(messages) as batches:
            for batch in batches:
                yield from self._responses(call, batch)

    def _find_similar(self, call: Call, data: bytes) -> pb.FindSimilarResponse:
        request = parse(pb.FindSimilarRequest, data)
        neighbours = self._encoder.neighbours
        if neighbours is None:
            raise NoDocumentsError
        check_count(len(request.queries), self._settings.max_documents, "queries")
        top_k, options = wire.read_top_k(request, self._settings), self._options(request.options)

        def read(query: pb.Query, path: str) -> Tokens:
            return wire.read_query(query, self._encoder, options, self._settings, path)

        queries = read_all(call, request.queries, read, "queries")
        encoding = self._inference(call, [query.tokens for query in queries], options.inference)
        found = self._inference.find(call, neighbours, wire.query_vectors(request.queries, encoding), top_k)
        response = pb.FindSimilarResponse(model=self._version)
        wire.write_similar(queries, encoding, found, response.results.add)
        return response

    def _get_model(self, _call: Call, _data: bytes) -> pb.GetModelResponse:
        self._admission.check_ready()
        return self._model

    def _responses(self, call: Call, messages: Sequence[bytes]) -> list[pb.EmbedStreamResponse]:
        """What becomes of each document of a stream; those with the same options are inferred together."""
        responses: list[pb.EmbedStreamResponse] = []

        def add(**outcome: Any) -> pb.EmbedStreamResponse:
            responses.append(pb.EmbedStreamResponse(model=self._version, **outcome))
            return responses[-1]

        readings = (self._read(call, message) for message in while_wanted(call, messages))
        for options, run in groupby(readings, key=lambda item: item[0]):
            items = [item[1] for item in run]
            if options is None:
                for status in items:
                    add(error=status)
                continue
            try:
                encoding = self._inference(call, [item.tokens for item in items], options)
            except StoppedError:
                raise
            except Exception as error:
                status = status_of(error, call.request_id, **call.trace)
                for _ in items:
                    add(error=status)
            else:
                wire.write_embeddings(items, encoding, lambda **counts: add(embedding=pb.Embedding(**counts)).embedding)
        return responses

    def _read(self, call: Call, message: bytes) -> tuple[InferenceOptions | None, Any]:
        """The options and tokens of a document, or None and why it cannot be embedded."""
        try:
            request = parse(pb.EmbedStreamRequest, message)
            options = self._options(request.options)
            tokens = wire.read_document(request.document, self._encoder.tokenize, options, self._settings, "document")
        except Exception as error:
            return None, status_of(error, call.request_id, **call.trace)
        return options.inference, tokens
