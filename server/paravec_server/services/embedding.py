"""The embedding service: reads a request, has the documents inferred, writes the response."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from google.rpc import status_pb2

from paravec.v1 import embedding_pb2 as pb
from paravec_model.encoder import Encoder, Encoding
from paravec_model.errors import StoppedError
from paravec_model.options import InferenceOptions, Stop, raise_if_stopped
from paravec_model.text.token_ids import Words

from ..rpc.admission import Admission
from ..rpc.call import Call, Method
from ..rpc.errors import NoDocumentsError, parse, status_of
from ..rpc.read_ahead import read_ahead
from ..rpc.thread_pool import Inline
from ..settings import Settings
from . import messages
from .inference import Inference, check_count
from .unary import Asked, Unary

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["EmbeddingService"]
SERVICE = DESCRIPTOR.full_name

_EMBEDDINGS = pb.EmbedResponse.DESCRIPTOR.fields_by_name["embeddings"].number
_EMBEDDING = pb.EmbedStreamResponse.DESCRIPTOR.fields_by_name["embedding"].number


class EmbeddingService:
    """paravec.v1.EmbeddingService."""

    def __init__(self, settings: Settings, inference: Inference, admission: Admission) -> None:
        self._settings, self._inference, self._admission = settings, inference, admission

    def serve(self, encoder: Encoder) -> None:
        """Answer with this encoder from now on."""
        self._version = messages.write_version(encoder.manifest)
        self._encoder = encoder
        self._model = pb.GetModelResponse(model=messages.write_model(encoder, self._settings)).SerializeToString()
        # What ends each answer, after what it tells of documents, by the method.
        self._answered = {
            name: pb.EmbedResponse(model=self._version, method=method).SerializeToString()
            for name, method in messages.METHODS.items()
        }
        self._streamed = {
            name: pb.EmbedStreamResponse(model=self._version, method=method).SerializeToString()
            for name, method in messages.METHODS.items()
        }
        self._options = messages.OptionsReader(encoder, self._settings, "options")

    def methods(self) -> dict[str, Method]:
        """What the server answers for this service."""
        return {
            f"/{SERVICE}/Embed": Unary(self._inference, self._read_embed, self._respond_embed).method,
            f"/{SERVICE}/EmbedStream": Method(self._embed_stream, requests=True, responses=True),
            f"/{SERVICE}/FindSimilar": Method(self._find_similar, work=self._inference.estimate),
            f"/{SERVICE}/GetModel": Method(self._get_model, reads=False, counted=False, pool=Inline(1)),
        }

    def _read_embed(self, data: bytes) -> Asked:
        request = parse(pb.EmbedRequest, data)
        documents = request.documents
        check_count(len(documents), self._settings.max_documents, "documents")
        options = self._options(request.options)
        most = self._inference.most_tokens(truncate=options.truncate)
        contents = (messages.content_of(document, f"documents[{i}]", most) for i, document in enumerate(documents))

        def path(i: int) -> str:
            return messages.path_of(documents[i], f"documents[{i}]")

        return Asked(len(documents), contents, options, path, self._answered[options.inference.method])

    def _respond_embed(self, end: bytes, encoding: Encoding) -> bytes:
        return b"".join((*(messages.field_of(_EMBEDDINGS, one) for one in messages.embeddings(encoding)), end))

    def _embed_stream(self, call: Call, requests: Iterator[bytes]) -> Iterator[bytes]:
        """Embed documents as they come, those that have come together."""
        with read_ahead(requests, call.add_bytes) as batches:
            for batch in batches:
                with self._inference.computing(call) as stop:
                    responses = self._responses(call, batch, stop)
                yield from responses

    def _find_similar(self, call: Call, data: bytes) -> bytes:
        with self._inference.computing(call) as stop:
            request = parse(pb.FindSimilarRequest, data)
            encoder, queries = self._encoder, request.queries
            if encoder.neighbours is None:
                raise NoDocumentsError
            check_count(len(queries), self._settings.max_documents, "queries")
            top_k, options = messages.read_top_k(request, self._settings), self._options(request.options)
            most = self._inference.most_tokens(truncate=options.truncate)
            contents = [
                messages.query_content(query, encoder, f"queries[{i}]", most) for i, query in enumerate(queries)
            ]

            def path(i: int) -> str:
                return messages.path_of(queries[i], f"queries[{i}]")

            words = self._inference.read(contents, path, stop, truncate=options.truncate)
            encoding = self._inference(call, words, options.inference, stop)
            vectors = messages.query_vectors(queries, encoding)
            found = self._inference.find(encoder.neighbours, vectors, top_k, stop)
            response = pb.FindSimilarResponse(model=self._version, method=messages.METHODS[options.inference.method])
            messages.write_similar(encoding, found, response.results.add)
            return response.SerializeToString()

    def _get_model(self, _call: Call, _data: bytes) -> bytes:
        self._admission.check_ready()
        return self._model

    def _responses(self, call: Call, requests: Sequence[bytes], stop: Stop) -> list[bytes]:
        """What becomes of each document of a stream; those with the same options are inferred together."""
        responses: list[bytes] = []
        readings = (self._read(call, request, stop) for request in requests)
        for options, run in groupby(readings, key=lambda item: item[0]):
            items = [item[1] for item in run]
            if options is None:
                responses += [self._refused(status) for status in items]
                continue
            words = Words.joined(items, self._settings.max_tokens)
            try:
                encoding = self._inference(call, words, options, stop)
            except StoppedError:
                raise
            except Exception as error:
                status = status_of(error, call.request_id, **call.trace)
                responses += [self._refused(status) for _ in items]
            else:
                end = self._streamed[options.method]
                responses += [messages.field_of(_EMBEDDING, one) + end for one in messages.embeddings(encoding)]
        return responses

    def _refused(self, status: status_pb2.Status) -> bytes:
        return pb.EmbedStreamResponse(error=status, model=self._version).SerializeToString()

    def _read(self, call: Call, message: bytes, stop: Stop) -> tuple[InferenceOptions | None, Any]:
        """The options and words of a document, or None and why it cannot be embedded; StoppedError if nobody waits."""
        raise_if_stopped(stop)
        try:
            request = parse(pb.EmbedStreamRequest, message)
            document, options = request.document, self._options(request.options)
            content = messages.content_of(document, "document", self._inference.most_tokens(truncate=options.truncate))
            path = messages.path_of(document, "document")
            words = self._inference.read([content], lambda _: path, stop, truncate=options.truncate)
        except StoppedError:
            raise
        except Exception as error:
            return None, status_of(error, call.request_id, **call.trace)
        return options.inference, words
