"""OpenAI's embeddings, for clients of that API: they come through Envoy's transcoder."""

from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

import numpy as np
from google.protobuf import struct_pb2

from paravec.openai.v1 import openai_pb2 as openai
from paravec.v1 import embedding_pb2 as pb
from paravec_model.encoder import Encoder, Encoding, Vectors

from ..rpc.admission import Admission
from ..rpc.call import Call, RpcMethod
from ..rpc.errors import InvalidArgumentError, NotFoundError, parse
from ..rpc.thread_pool import ElasticThreadPool
from ..settings import Settings
from .inference import EmbeddingRequest, EmbeddingRpc, Inference, check_count
from .messages import read_options

DESCRIPTOR = openai.DESCRIPTOR.services_by_name["OpenAIService"]
SERVICE = DESCRIPTOR.full_name

# Threads for questions about the model, and how many calls of each method may wait for their request.
_THREADS, _MAX_WAITING = 32, 8

# Clients of OpenAI compare by dot products.
_OPTIONS = pb.InferenceOptions(normalize=True)

# A google.protobuf.Value of a number, in wire format, as an entry of a ListValue.
_NUMBER = np.dtype([("head", "V3"), ("number", "<f8")])
_NUMBER_HEAD = np.void(b"\x0a\x09\x11")


class _Response(NamedTuple):
    """What the response takes from the request."""

    base64: bool


class OpenAIService:
    """The methods of paravec.openai.v1.OpenAIService."""

    def __init__(self, settings: Settings, inference: Inference, admission: Admission) -> None:
        self._settings, self._inference, self._admission = settings, inference, admission

    def serve(self, encoder: Encoder) -> None:
        """Answer with this encoder from now on."""
        self._manifest = manifest = encoder.manifest
        self._options = read_options(_OPTIONS.SerializeToString(), encoder, self._settings, "options")
        self._model = openai.Model(
            id=manifest.name,
            object="model",
            created=int(datetime.fromisoformat(manifest.created).timestamp()),
            owned_by="paravec",
            version=manifest.version,
            digest=manifest.digest,
        )

    def methods(self) -> dict[str, RpcMethod]:
        """The methods by full name."""
        executor = ElasticThreadPool(_THREADS, "openai-models")
        models = partial(RpcMethod, limited=False, executor=executor, max_waiting=_MAX_WAITING)
        return {
            f"/{SERVICE}/CreateEmbeddings": EmbeddingRpc(self._inference, self._parse, self._write).method,
            f"/{SERVICE}/ListModels": models(self._list_models),
            f"/{SERVICE}/RetrieveModel": models(self._retrieve_model),
        }

    def _parse(self, message: bytes) -> EmbeddingRequest:
        request = parse(openai.CreateEmbeddingsRequest, message)
        self._check_model(request.model)
        if request.encoding_format not in ("", "float", "base64"):
            raise InvalidArgumentError("encoding_format", "must be float or base64")
        size = self._manifest.algorithm.vector_size
        if request.HasField("dimensions") and request.dimensions != size:
            raise InvalidArgumentError("dimensions", f"must be {size}, which is the model's, or left out")
        texts = _texts(request.input, self._settings.max_documents)
        response = _Response(request.encoding_format == "base64")
        return EmbeddingRequest(texts, self._options, lambda i: f"input[{i}]", response)

    def _write(self, request: _Response, encoding: Encoding) -> bytes:
        tokens = sum(encoding.token_counts)
        response = openai.CreateEmbeddingsResponse(
            object="list",
            model=self._manifest.name,
            usage=openai.Usage(prompt_tokens=tokens, total_tokens=tokens),
            digest=self._manifest.digest,
        )
        write = _base64 if request.base64 else _numbers
        for i, vector in enumerate(encoding.vectors.astype("<f4", copy=False)):
            response.data.add(object="embedding", index=i, embedding=write(vector))
        return response.SerializeToString()

    def _list_models(self, _call: Call, message: bytes) -> bytes:
        parse(openai.ListModelsRequest, message)
        self._admission.check_ready()
        return openai.ListModelsResponse(object="list", data=[self._model]).SerializeToString()

    def _retrieve_model(self, _call: Call, message: bytes) -> bytes:
        request = parse(openai.RetrieveModelRequest, message)
        self._admission.check_ready()
        self._check_model(request.model)
        # The fields are those of a Model.
        return self._model.SerializeToString()

    def _check_model(self, name: str) -> None:
        if name != self._manifest.name:
            raise NotFoundError(f"no such model; this server has {self._manifest.name}")


def _texts(value: struct_pb2.Value, limit: int) -> Sequence[str]:
    """The texts of `input`, 1 to `limit`; InvalidArgumentError if it is anything else."""
    if value.WhichOneof("kind") == "string_value":
        return [value.string_value]
    if value.WhichOneof("kind") != "list_value":
        raise InvalidArgumentError("input", "must be a text or a list of texts")
    items = value.list_value.values
    check_count(len(items), limit, "input")
    for i, item in enumerate(items):
        kind = item.WhichOneof("kind")
        if kind in ("number_value", "list_value"):
            raise InvalidArgumentError(f"input[{i}]", "must be a text: token ids are those of another model")
        if kind != "string_value":
            raise InvalidArgumentError(f"input[{i}]", "must be a text")
    return [item.string_value for item in items]


def _base64(vector: Vectors) -> struct_pb2.Value:
    return struct_pb2.Value(string_value=b64encode(vector.tobytes()).decode())


def _numbers(vector: Vectors) -> struct_pb2.Value:
    """The vector as a list of numbers, parsed from wire format: faster than a message for each number."""
    numbers = np.empty(len(vector), _NUMBER)
    numbers["head"], numbers["number"] = _NUMBER_HEAD, vector
    return struct_pb2.Value(list_value=struct_pb2.ListValue.FromString(numbers.tobytes()))
