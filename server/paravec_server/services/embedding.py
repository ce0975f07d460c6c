"""paravec.v1.EmbeddingService: reads a request, has its documents inferred, writes the response."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from google.rpc import status_pb2

from paravec.v1 import embedding_pb2 as pb
from paravec_model.encoder import Encoder, Encoding
from paravec_model.errors import StoppedError
from paravec_model.options import InferenceOptions, Stop, raise_if_stopped
from paravec_model.text.token_ids import TokenIds

from ..rpc.admission import Admission
from ..rpc.call import Call, RpcMethod
from ..rpc.errors import NoDocumentsError, parse, status_of
from ..rpc.read_ahead import read_ahead
from ..rpc.thread_pool import InlineExecutor
from ..settings import Settings
from . import messages
from .inference import EmbeddingRequest, EmbeddingRpc, Inference, check_count
from .wire_format import embedding_fields, vector_fields

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["EmbeddingService"]
SERVICE = DESCRIPTOR.full_name

_EMBEDDINGS = pb.EmbedResponse.DESCRIPTOR.fields_by_name["embeddings"].number
_EMBEDDING = pb.EmbedStreamResponse.DESCRIPTOR.fields_by_name["embedding"].number


class EmbeddingService:
    """The methods of paravec.v1.EmbeddingService."""

    def __init__(self, settings: Settings, inference: Inference, admission: Admission) -> None:
        self._settings, self._inference, self._admission = settings, inference, admission

    def serve(self, encoder: Encoder) -> None:
        """Answer with this encoder from now on."""
        self._version = messages.write_version(encoder.manifest)
        self._encoder = encoder
        self._model = pb.GetModelResponse(model=messages.write_model(encoder, self._settings)).SerializeToString()
        self._document_fields = pb.GetDocumentVectorsResponse(model=self._version).SerializeToString()
        # The fields of each response that only depend on the method.
        self._embed_fields = {
            name: pb.EmbedResponse(model=self._version, method=method).SerializeToString()
            for name, method in messages.METHODS.items()
        }
        self._stream_fields = {
            name: pb.EmbedStreamResponse(model=self._version, method=method).SerializeToString()
            for name, method in messages.METHODS.items()
        }
        self._options = messages.OptionsReader(encoder, self._settings, "options")
        self._search_options = messages.OptionsReader(encoder, self._settings, "options", search=True)

    def methods(self) -> dict[str, RpcMethod]:
        """The methods by full name."""
        estimate = self._inference.estimate_seconds
        return {
            f"/{SERVICE}/Embed": EmbeddingRpc(self._inference, self._parse_embed, self._write_embed).method,
            f"/{SERVICE}/EmbedStream": RpcMethod(self._embed_stream, client_streaming=True, server_streaming=True),
            f"/{SERVICE}/FindSimilar": RpcMethod(self._find_similar, estimate_seconds=estimate),
            f"/{SERVICE}/GetDocumentVectors": RpcMethod(self._get_document_vectors),
            f"/{SERVICE}/GetModel": RpcMethod(
                self._get_model, has_request=False, limited=False, executor=InlineExecutor(1)
            ),
        }

    def _parse_embed(self, message: bytes) -> EmbeddingRequest:
        request = parse(pb.EmbedRequest, message)
        documents = request.documents
        check_count(len(documents), self._settings.max_documents, "documents")
        options = self._options(request.options)
        limit = options.max_tokens
        contents = [messages.content_of(document, f"documents[{i}]", limit) for i, document in enumerate(documents)]

        def path(i: int) -> str:
            return messages.path_of(documents[i], f"documents[{i}]")

        return EmbeddingRequest(contents, options, path, self._embed_fields[options.inference.method])

    def _write_embed(self, fields: bytes, encoding: Encoding) -> bytes:
        return b"".join((*embedding_fields(_EMBEDDINGS, encoding), fields))

    def _embed_stream(self, call: Call, requests: Iterator[bytes]) -> Iterator[bytes]:
        """Embed documents as they come; those that have come meanwhile are inferred together."""
        with read_ahead(requests, call.add_bytes) as batches:
            for batch in batches:
                with self._inference.compute_slot(call) as stop:
                    responses = self._stream_responses(call, batch, stop)
                yield from responses

    def _find_similar(self, call: Call, message: bytes) -> bytes:
        with self._inference.compute_slot(call) as stop:
            request = parse(pb.FindSimilarRequest, message)
            encoder, queries = self._encoder, request.queries
            if encoder.document_index is None:
                raise NoDocumentsError
            check_count(len(queries), self._settings.max_documents, "queries")
            top_k, options = messages.read_top_k(request, self._settings), self._search_options(request.options)
            weight = messages.read_lexical_weight(request, encoder)
            limit = options.max_tokens
            contents = [
                messages.query_content(query, encoder, f"queries[{i}]", limit) for i, query in enumerate(queries)
            ]

            def path(i: int) -> str:
                return messages.path_of(queries[i], f"queries[{i}]")

            ids = self._inference.to_token_ids(contents, path, stop, options.max_tokens)
            encoding = self._inference.infer(call, ids, options.inference, stop)
            vectors = messages.query_vectors(queries, encoding)
            lexical = encoder.lexical_queries(contents, weight, self._settings.max_tokens, stop)
            found = self._inference.find_similar(encoder.document_index, vectors, top_k, stop, lexical)
            response = pb.FindSimilarResponse(model=self._version, method=messages.METHODS[options.inference.method])
            messages.write_similar(encoding, found, response.results.add)
            return response.SerializeToString()

    def _get_document_vectors(self, call: Call, message: bytes) -> bytes:
        with self._inference.compute_slot(call) as stop:
            request = parse(pb.GetDocumentVectorsRequest, message)
            artifact = self._encoder.artifact
            if self._encoder.document_index is None:
                raise NoDocumentsError
            check_count(len(request.tags), self._settings.max_documents, "tags")
            rows = messages.tag_rows(request.tags, artifact)
            raise_if_stopped(stop)
            return vector_fields(artifact.document_vectors(rows)) + self._document_fields

    def _get_model(self, _call: Call, _message: bytes) -> bytes:
        self._admission.check_ready()
        return self._model

    def _stream_responses(self, call: Call, requests: Sequence[bytes], stop: Stop) -> list[bytes]:
        """A response for each document of a stream; consecutive ones with equal options are inferred together."""
        responses: list[bytes] = []
        parsed = (self._parse_stream(call, request, stop) for request in requests)
        for options, run in groupby(parsed, key=lambda item: item[0]):
            items = [item[1] for item in run]
            if options is None:
                responses += [self._stream_error(status) for status in items]
                continue
            ids = TokenIds.concatenate(items, self._settings.max_tokens)
            try:
                encoding = self._inference.infer(call, ids, options, stop)
            except StoppedError:
                raise
            except Exception as error:
                status = status_of(error, call.request_id, **call.trace)
                responses += [self._stream_error(status) for _ in items]
            else:
                fields = self._stream_fields[options.method]
                responses += [one + fields for one in embedding_fields(_EMBEDDING, encoding)]
        return responses

    def _stream_error(self, status: status_pb2.Status) -> bytes:
        return pb.EmbedStreamResponse(error=status, model=self._version).SerializeToString()

    def _parse_stream(self, call: Call, message: bytes, stop: Stop) -> tuple[InferenceOptions | None, Any]:
        """The options and token ids of a document, or None and the status of its error; StoppedError if the call is
        cancelled."""
        raise_if_stopped(stop)
        try:
            request = parse(pb.EmbedStreamRequest, message)
            document, options = request.document, self._options(request.options)
            content = messages.content_of(document, "document", options.max_tokens)
            path = messages.path_of(document, "document")
            ids = self._inference.to_token_ids([content], lambda _: path, stop, options.max_tokens)
        except StoppedError:
            raise
        except Exception as error:
            return None, status_of(error, call.request_id, **call.trace)
        return options.inference, ids
