"""A call of one message that asks for vectors of documents, whatever its protocol: read, infer, answer."""

from collections.abc import Callable, Sequence
from itertools import chain, groupby
from typing import Any, NamedTuple

from paravec_model.encoder import Encoding
from paravec_model.reader import Document

from .call import Call, Method
from .errors import RequestError
from .inference import Inference
from .wire import Options

# Bytes and documents of a request that may be brief; bytes of a token in it, more or less.
_BRIEF, _FEW, _TOKEN = 2048, 4, 5


class Asked(NamedTuple):
    """What a message asks for."""

    documents: Sequence[Document]
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
        return Method(self._run, brief=self._is_brief, together=self._run_together)

    def _run(self, call: Call, data: bytes) -> bytes:
        asked: Asked = call.read or self._read(data)
        words = self._inference.read_all(call, asked.documents, asked.path, truncate=asked.options.truncate)
        return self._respond(asked.request, self._inference(call, words, asked.options.inference))

    def _is_brief(self, call: Call, data: bytes) -> bool:
        # What has fewer bytes than a document may have tokens has no document that is too long.
        if len(data) > min(_BRIEF, self._inference.max_tokens):
            return False
        try:
            asked = call.read = self._read(data)
        except RequestError:
            return False
        encoder = self._inference.encoder
        return len(asked.documents) <= _FEW and encoder.is_brief(len(data) // _TOKEN, asked.options.inference)

    def _run_together(self, calls: Sequence[Call]) -> list[bytes]:
        """The documents of those with the same options are inferred together."""
        responses = []
        for options, run in groupby(calls, key=lambda call: call.read.options.inference):
            some = list(run)
            documents = [call.read.documents for call in some]
            encoding = self._inference.at_once(list(chain(*documents)), options)
            for call, part in zip(some, encoding.parts(map(len, documents)), strict=True):
                call.documents, call.tokens = len(part.token_counts), sum(part.token_counts)
                responses.append(self._respond(call.read.request, part))
        return responses
