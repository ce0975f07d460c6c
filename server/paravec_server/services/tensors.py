"""Turns messages of the Open Inference Protocol into options and texts, and vectors into tensors."""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from paravec.inference.v2 import open_inference_pb2 as oip
from paravec.v1 import embedding_pb2 as pb
from paravec_model.encoder import Encoding

from ..rpc.errors import InvalidArgumentError
from .inference import check_count
from .messages import METHODS

INPUT, DATATYPE = "text", "BYTES"
"""The name of the only input tensor, and the type of its elements."""


class Output(NamedTuple):
    """An output tensor, with one row for each document."""

    datatype: str
    content: Callable[[Encoding], bytes]
    """Its elements, row by row, little-endian."""
    vector: bool = False
    """Whether a row is a vector; else it is one element."""

    def shape(self, rows: int, vector_size: int) -> list[int]:
        """The tensor's shape."""
        return [rows, vector_size] if self.vector else [rows]


OUTPUTS = {
    "embedding": Output("FP32", lambda encoding: encoding.vectors.astype("<f4", copy=False).tobytes(), vector=True),
    "token_count": Output("INT32", lambda encoding: _int32(encoding.token_counts)),
    "known_token_count": Output("INT32", lambda encoding: _int32(encoding.known_token_counts)),
    "truncated": Output("BOOL", lambda encoding: bytes(encoding.truncated)),
}
"""The output tensors by name; they mean what the fields of paravec.v1.Embedding mean."""

_PARAMETERS: dict[str, tuple[type, str]] = {
    "method": (str, "a string"),
    "epochs": (int, "an integer"),
    "alpha": (float, "a number"),
    "min_alpha": (float, "a number"),
    "seed": (int, "an integer"),
    "normalize": (bool, "a boolean"),
    "truncate": (bool, "a boolean"),
}

# The names of the enum in paravec.v1 are accepted too.
_METHODS = {**METHODS, **dict(pb.Method.items())}

# Parameters that clients of Triton, KServe and MLServer send by default. They have no effect here.
_IGNORED = {"priority", "timeout", "binary_data_output", "content_type"}

# Parameters of a tensor that would change where or what its content is.
_UNSUPPORTED = ("shared_memory_region", "classification")

# Characters of an unknown name that an error repeats.
_QUOTED_CHARACTERS = 64


def read_options(parameters: Mapping[str, oip.InferParameter]) -> pb.InferenceOptions:
    """The options in a request's parameters; InvalidArgumentError for unknown names and values of the wrong type."""
    options = pb.InferenceOptions()
    for name, parameter in parameters.items():
        if name in _IGNORED:
            continue
        if name not in _PARAMETERS:
            raise InvalidArgumentError(
                "parameters", f"{name[:_QUOTED_CHARACTERS]!r} is not one of {', '.join(_PARAMETERS)}"
            )
        path, (kind, word) = f"parameters.{name}", _PARAMETERS[name]
        choice = parameter.WhichOneof("parameter_choice")
        value = getattr(parameter, choice) if choice else None
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise InvalidArgumentError(path, f"must be {word}")
        if name == "method":
            if value not in _METHODS:
                raise InvalidArgumentError(path, f"must be {' or '.join(METHODS)}")
            value = _METHODS[value]
        try:
            setattr(options, name, value)
        except ValueError:
            raise InvalidArgumentError(path, f"is out of range: {value}") from None
    return options


def read_outputs(outputs: Sequence[oip.ModelInferRequest.InferRequestedOutputTensor]) -> list[str]:
    """The names of the requested outputs, in order; all outputs if the request names none."""
    names: list[str] = []
    for i, output in enumerate(outputs):
        if output.name not in OUTPUTS:
            raise InvalidArgumentError(f"outputs[{i}].name", f"must be one of {', '.join(OUTPUTS)}")
        if output.name in names:
            raise InvalidArgumentError(f"outputs[{i}].name", "is requested twice")
        _check_parameters(output.parameters, f"outputs[{i}].parameters")
        names.append(output.name)
    return names or list(OUTPUTS)


def read_texts(request: oip.ModelInferRequest, limit: int) -> tuple[Sequence[bytes], str]:
    """The texts of a request, 1 to `limit`, and the path of the field that has them."""
    for i, tensor in enumerate(request.inputs):
        if tensor.name != INPUT:
            raise InvalidArgumentError(f"inputs[{i}].name", f"must be {INPUT}")
    if len(request.inputs) != 1:
        raise InvalidArgumentError("inputs", f"must be one tensor, {INPUT}, not {len(request.inputs)}")
    tensor, raw = request.inputs[0], request.raw_input_contents
    _check_parameters(tensor.parameters, "inputs[0].parameters")
    if tensor.datatype != DATATYPE:
        raise InvalidArgumentError("inputs[0].datatype", f"must be {DATATYPE}")
    count = max(tensor.shape, default=0)
    if len(tensor.shape) > 2 or sorted(tensor.shape) not in ([count], [1, count]):
        raise InvalidArgumentError("inputs[0].shape", "must be [n], [n, 1] or [1, n]")
    check_count(count, limit, "inputs[0].shape")
    given = [field.name for field, _ in tensor.contents.ListFields()]
    if raw:
        if given:
            raise InvalidArgumentError("inputs[0].contents", "must not be set beside raw_input_contents")
        if len(raw) != 1:
            raise InvalidArgumentError("raw_input_contents", f"must be one for the one input, not {len(raw)}")
        path = "raw_input_contents[0]"
        return _split(raw[0], count, path), path
    if given not in ([], ["bytes_contents"]):
        raise InvalidArgumentError("inputs[0].contents", f"must be bytes_contents for {DATATYPE}")
    path, texts = "inputs[0].contents.bytes_contents", tensor.contents.bytes_contents
    if len(texts) != count:
        raise InvalidArgumentError(path, f"has {len(texts)} elements, but the shape says {count}")
    return texts, path


def read_text(data: bytes, path: str) -> str:
    """An element of the input tensor as text."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidArgumentError(path, "is not UTF-8") from None


def write_outputs(names: Sequence[str], encoding: Encoding, response: oip.ModelInferResponse) -> None:
    """Add the requested outputs to a response."""
    for name in names:
        output = OUTPUTS[name]
        response.outputs.add(name=name, datatype=output.datatype, shape=output.shape(*encoding.vectors.shape))
        response.raw_output_contents.append(output.content(encoding))


def _check_parameters(parameters: Mapping[str, oip.InferParameter], path: str) -> None:
    for name in _UNSUPPORTED:
        if name in parameters:
            raise InvalidArgumentError(path, f"{name} is not supported")


def _split(data: bytes, count: int, path: str) -> list[bytes]:
    """The elements of a raw BYTES tensor: each follows its length, 4 bytes, little-endian."""
    elements, end = [], 0
    for i in range(count):
        begin = end + 4
        end = begin + int.from_bytes(data[end:begin], "little")
        if end > len(data):
            raise InvalidArgumentError(path, f"ends within element {i} of the {count} that the shape says")
        elements.append(data[begin:end])
    if end < len(data):
        raise InvalidArgumentError(path, f"has bytes after the {count} elements that the shape says")
    return elements


def _int32(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)
