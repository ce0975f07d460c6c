"""The Open Inference Protocol, version 2, for clients of KServe and Triton."""

from collections.abc import Callable, Sequence
from functools import partial

from paravec.inference.v2 import open_inference_pb2 as oip
from paravec_model import __version__
from paravec_model.encoder import Encoder, Encoding

from ..rpc.admission import Admission
from ..rpc.call import Call, RpcMethod
from ..rpc.errors import NotFoundError, parse
from ..rpc.thread_pool import ElasticThreadPool, InlineExecutor
from ..settings import Settings
from . import tensors
from .inference import EmbeddingRequest, EmbeddingRpc, Inference
from .messages import OptionsReader

DESCRIPTOR = oip.DESCRIPTOR.services_by_name["GRPCInferenceService"]
SERVICE = DESCRIPTOR.full_name

# Threads for questions about the model by name, and how many calls of each method may wait for their request.
_THREADS, _MAX_WAITING = 32, 8


class OpenInferenceService:
    """The methods of inference.GRPCInferenceService."""

    def __init__(
        self, settings: Settings, inference: Inference, admission: Admission, alive: Callable[[], bool]
    ) -> None:
        """`alive`: whether the process is live."""
        self._alive = alive
        self._settings, self._inference, self._admission = settings, inference, admission

    def serve(self, encoder: Encoder) -> None:
        """Answer with this encoder from now on."""
        self._manifest = encoder.manifest
        self._options = OptionsReader(encoder, self._settings, "parameters")
        size = self._manifest.algorithm.vector_size
        metadata = oip.ModelMetadataResponse.TensorMetadata
        self._metadata_response = oip.ModelMetadataResponse(
            name=self._manifest.name,
            versions=[self._manifest.version],
            platform="paravec_doc2vec",
            inputs=[metadata(name=tensors.INPUT, datatype=tensors.DATATYPE, shape=[-1])],
            outputs=[
                metadata(name=name, datatype=output.datatype, shape=output.shape(-1, size))
                for name, output in tensors.OUTPUTS.items()
            ],
        ).SerializeToString()

    def methods(self) -> dict[str, RpcMethod]:
        """The methods by full name."""
        server = partial(RpcMethod, has_request=False, limited=False, executor=InlineExecutor(1))
        executor = ElasticThreadPool(_THREADS, "model-info")
        model = partial(RpcMethod, limited=False, executor=executor, max_waiting=_MAX_WAITING)
        return {
            f"/{SERVICE}/ServerLive": server(self._live),
            f"/{SERVICE}/ServerReady": server(self._ready),
            f"/{SERVICE}/ServerMetadata": server(self._server_metadata),
            f"/{SERVICE}/ModelReady": model(self._model_ready),
            f"/{SERVICE}/ModelMetadata": model(self._model_metadata),
            f"/{SERVICE}/ModelInfer": EmbeddingRpc(self._inference, self._parse_infer, self._write_infer).method,
        }

    def _live(self, _call: Call, _message: bytes) -> bytes:
        return oip.ServerLiveResponse(live=self._alive()).SerializeToString()

    def _ready(self, _call: Call, _message: bytes) -> bytes:
        return oip.ServerReadyResponse(ready=self._admission.is_ready).SerializeToString()

    def _server_metadata(self, _call: Call, _message: bytes) -> bytes:
        return oip.ServerMetadataResponse(name="paravec", version=__version__).SerializeToString()

    def _model_ready(self, _call: Call, message: bytes) -> bytes:
        request = parse(oip.ModelReadyRequest, message)
        # Before the model is loaded, its name is unknown.
        ready = self._admission.is_ready
        if ready:
            self._check_model(request.name, request.version)
        return oip.ModelReadyResponse(ready=ready).SerializeToString()

    def _model_metadata(self, _call: Call, message: bytes) -> bytes:
        request = parse(oip.ModelMetadataRequest, message)
        self._admission.check_ready()
        self._check_model(request.name, request.version)
        return self._metadata_response

    def _parse_infer(self, message: bytes) -> EmbeddingRequest:
        request = parse(oip.ModelInferRequest, message)
        self._check_model(request.model_name, request.model_version)
        texts, path = tensors.read_texts(request, self._settings.max_documents)
        outputs = tensors.read_outputs(request.outputs)
        options = self._options(tensors.read_options(request.parameters))
        documents = [tensors.read_text(text, f"{path}[{i}]") for i, text in enumerate(texts)]
        response = request.id, outputs, options.inference.method
        return EmbeddingRequest(documents, options, lambda i: f"{path}[{i}]", response)

    def _write_infer(self, request: tuple[str, Sequence[str], str], encoding: Encoding) -> bytes:
        request_id, outputs, method = request
        manifest = self._manifest
        response = oip.ModelInferResponse(model_name=manifest.name, model_version=manifest.version, id=request_id)
        response.parameters["digest"].string_param = manifest.digest
        response.parameters["method"].string_param = method
        tensors.write_outputs(outputs, encoding, response)
        return response.SerializeToString()

    def _check_model(self, name: str, version: str) -> None:
        """NotFoundError unless this is the served model; an empty version matches."""
        manifest = self._manifest
        if name != manifest.name:
            raise NotFoundError(f"no such model; this server has {manifest.name}")
        if version not in ("", manifest.version):
            raise NotFoundError(f"no such version of {name}; this server has {manifest.version}")
