"""A call of one message that asks for vectors of documents, whatever its protocol: read, infer, answer."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from paravec_model.encoder import Encoding
from paravec_model.options import InferenceOptions
from paravec_model.text.token_ids import Document

from ..rpc.call import Call, Method
from ..rpc.errors import RequestError
from .inference import Inference
from .messages import Options

# Bytes and documents of a request that may be brief; bytes of a token in it, more or less.
_BRIEF, _FEW, _TOKEN = 2048, 4, 5


@dataclass(slots=True)
class Asked:
    """What a message asks for."""

    size: int
    """How many documents."""
    documents: Iterable[Document]
    """RequestError if one of them is at fault."""
    options: Options
    path: Callable[[int], str]
    """Where a document is in the message."""
    request: Any
    """The message, for who answers it."""


class Unary:
    """How such a call is run, alone or, if it is brief, with others."""

    def __init__(
        self, inference: Inference, read: Callable[[bytes], Asked], respond: Callable[[Any, Encoding], bytes]
    ) -> None:
        """`read` tells what a message asks for, or raises RequestError; `respond` makes the answer to a request."""
        self._inference, self._read, self._respond = inference, read, respond

    @property
    def method(self) -> Method:
        """What the server answers."""
        return Method(self._run, brief=self, work=self._inference.estimate)

    def _run(self, call: Call, data: bytes) -> bytes:
        with self._inference.computing(call) as stop:
            asked: Asked = call.read or self._read(data)
            options = asked.options
            words = self._inference.read(list(asked.documents), asked.path, stop, truncate=options.truncate)
            return self._respond(asked.request, self._inference(call, words, options.inference, stop))

    def kind(self, call: Call, data: bytes) -> InferenceOptions | None:
        """Brief calls with the same options may run together."""
        # What has fewer bytes than a document may have tokens has no document that is too long.
        if len(data) > min(_BRIEF, self._inference.max_tokens):
            return None
        try:
            asked = self._read(data)
            asked.documents = list(asked.documents)
        except RequestError:
            return None
        call.read = asked
        options = asked.options.inference
        few = asked.size <= _FEW and self._inference.encoder.is_brief(len(data) // _TOKEN, options)
        return options if few else None

    def run_together(self, calls: Sequence[Call]) -> list[bytes]:
        """The documents of all are inferred together."""
        asked: list[Asked] = [call.read for call in calls]
        documents = list(chain.from_iterable(each.documents for each in asked))
        encoding = self._inference.at_once(documents, asked[0].options.inference)
        parts = list(encoding.parts(each.size for each in asked))
        responses = [self._respond(each.request, part) for each, part in zip(asked, parts, strict=True)]
        for call, part in zip(calls, parts, strict=True):
            call.documents, call.tokens = len(part.token_counts), sum(part.token_counts)
        return responses
