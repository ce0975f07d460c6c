"""The Open Inference Protocol: what clients of KServe and Triton ask of the model that paravec.v1 serves."""

from collections.abc import Callable, Sequence
from functools import partial

from paravec.inference.v2 import open_inference_pb2 as oip
from paravec_model import __version__
from paravec_model.encoder import Encoder, Encoding

from ..rpc.admission import Admission
from ..rpc.call import Call, Method
from ..rpc.errors import NotFoundError, parse
from ..rpc.thread_pool import Inline, Threads
from ..settings import Settings
from . import tensors
from .inference import Inference
from .messages import OptionsReader
from .unary import Asked, Unary

DESCRIPTOR = oip.DESCRIPTOR.services_by_name["GRPCInferenceService"]
SERVICE = DESCRIPTOR.full_name

# Threads for questions about the model by its name, and how many of each kind may wait for it.
_ASKERS, _WAITING = 32, 8


class OpenInferenceService:
    """inference.GRPCInferenceService."""

    def __init__(
        self, settings: Settings, inference: Inference, admission: Admission, alive: Callable[[], bool]
    ) -> None:
        """`alive`: whether the process gets on."""
        self._alive = alive
        self._settings, self._inference, self._admission = settings, inference, admission

    def serve(self, encoder: Encoder) -> None:
        """Answer with this encoder from now on."""
        self._manifest = encoder.manifest
        self._options = OptionsReader(encoder, self._settings, "parameters")
        size = self._manifest.algorithm.vector_size
        metadata = oip.ModelMetadataResponse.TensorMetadata
        self._metadata = oip.ModelMetadataResponse(
            name=self._manifest.name,
            versions=[self._manifest.version],
            platform="paravec_doc2vec",
            inputs=[metadata(name=tensors.INPUT, datatype=tensors.TYPE, shape=[-1])],
            outputs=[
                metadata(name=name, datatype=output.datatype, shape=output.shape(-1, size))
                for name, output in tensors.OUTPUTS.items()
            ],
        ).SerializeToString()

    def methods(self) -> dict[str, Method]:
        """What the server answers for this service."""
        inline, by_name = Inline(1), partial(Method, counted=False, pool=Threads(_ASKERS, "ask"), most_waiting=_WAITING)
        return {
            f"/{SERVICE}/ServerLive": Method(self._live, reads=False, counted=False, pool=inline),
            f"/{SERVICE}/ServerReady": Method(self._ready, reads=False, counted=False, pool=inline),
            f"/{SERVICE}/ServerMetadata": Method(self._describe, reads=False, counted=False, pool=inline),
            f"/{SERVICE}/ModelReady": by_name(self._model_ready),
            f"/{SERVICE}/ModelMetadata": by_name(self._describe_model),
            f"/{SERVICE}/ModelInfer": Unary(self._inference, self._read_infer, self._respond_infer).method,
        }

    def _live(self, _call: Call, _data: bytes) -> bytes:
        return oip.ServerLiveResponse(live=self._alive()).SerializeToString()

    def _ready(self, _call: Call, _data: bytes) -> bytes:
        return oip.ServerReadyResponse(ready=self._admission.ready).SerializeToString()

    def _describe(self, _call: Call, _data: bytes) -> bytes:
        return oip.ServerMetadataResponse(name="paravec", version=__version__).SerializeToString()

    def _model_ready(self, _call: Call, data: bytes) -> bytes:
        request = parse(oip.ModelReadyRequest, data)
        # Before it is loaded, the model's name is not known.
        ready = self._admission.ready
        if ready:
            self._check_model(request.name, request.version)
        return oip.ModelReadyResponse(ready=ready).SerializeToString()

    def _describe_model(self, _call: Call, data: bytes) -> bytes:
        request = parse(oip.ModelMetadataRequest, data)
        self._admission.check_ready()
        self._check_model(request.name, request.version)
        return self._metadata

    def _read_infer(self, data: bytes) -> Asked:
        request = parse(oip.ModelInferRequest, data)
        self._check_model(request.model_name, request.model_version)
        texts, path = tensors.read_texts(request, self._settings.max_documents)
        wanted = tensors.read_wanted(request.outputs)
        options = self._options(tensors.read_options(request.parameters))
        documents = (tensors.read_text(text, f"{path}[{i}]") for i, text in enumerate(texts))
        return Asked(
            len(texts), documents, options, lambda i: f"{path}[{i}]", (request.id, wanted, options.inference.method)
        )

    def _respond_infer(self, request: tuple[str, Sequence[str], str], encoding: Encoding) -> bytes:
        name, wanted, method = request
        manifest = self._manifest
        response = oip.ModelInferResponse(model_name=manifest.name, model_version=manifest.version, id=name)
        response.parameters["digest"].string_param = manifest.digest
        response.parameters["method"].string_param = method
        tensors.write_outputs(wanted, encoding, response)
        return response.SerializeToString()

    def _check_model(self, name: str, version: str) -> None:
        """NotFoundError unless this is the model; no version is the one there is."""
        manifest = self._manifest
        if name != manifest.name:
            raise NotFoundError(f"no such model; here is {manifest.name}")
        if version not in ("", manifest.version):
            raise NotFoundError(f"no such version of {name}; here is {manifest.version}")
