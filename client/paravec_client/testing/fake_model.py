"""What the fake server computes: the checks of a request, its tokens, and a vector for each document."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from paravec.v1 import embedding_pb2 as pb

from ..types import Limits

LIMITS = Limits(max_documents=256, max_tokens=10_000, max_epochs=1000, max_message_bytes=4 * 2**20, max_top_k=100)
"""The default limits of the real server."""

DEFAULTS = pb.InferenceOptions(
    method=pb.METHOD_SGD, epochs=20, alpha=0.025, min_alpha=0.0001, seed=0, normalize=False, truncate=False
)

_SGD_ONLY: tuple[Literal["epochs", "alpha", "min_alpha", "seed"], ...] = ("epochs", "alpha", "min_alpha", "seed")


class StatusError(Exception):
    """A failed call or document, as a google.rpc.Status."""

    def __init__(self, code: str, text: str, *details: Any) -> None:
        self.status = status_pb2.Status(code=code_pb2.Code.Value(code), message=text)
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            self.status.details.append(packed)


def invalid(path: str, problem: str) -> StatusError:
    """INVALID_ARGUMENT for a field of the request."""
    violation = error_details_pb2.BadRequest.FieldViolation(field=path, description=problem)
    return StatusError(
        "INVALID_ARGUMENT", f"{path}: {problem}", error_details_pb2.BadRequest(field_violations=[violation])
    )


class FakeModel:
    """Embeds documents without a model."""

    def __init__(self, vector_size: int, limits: Limits) -> None:
        self._vector_size, self._limits = vector_size, limits

    def embed(
        self, documents: Sequence[pb.Document], options: pb.InferenceOptions, path_format: str
    ) -> list[pb.Embedding]:
        """The embedding of each document; StatusError for an invalid one. `path_format` makes its path, given its
        number."""
        self._check(options)
        tokens = [self._tokens(item, options, path_format.format(i)) for i, item in enumerate(documents)]
        return [self._embedding(words, count, options) for words, count in tokens]

    def _check(self, options: pb.InferenceOptions) -> None:
        if options.method not in pb.Method.values():
            raise invalid("options.method", "must be METHOD_SGD or METHOD_MAP for this model")
        for name in _SGD_ONLY if options.method == pb.METHOD_MAP else ():
            if options.HasField(name):
                raise invalid(f"options.{name}", "has no effect with METHOD_MAP: leave it out")
        if options.HasField("epochs") and not 1 <= options.epochs <= self._limits.max_epochs:
            raise invalid("options.epochs", f"must be 1 to {self._limits.max_epochs}, not {options.epochs}")
        alpha = options.alpha if options.HasField("alpha") else DEFAULTS.alpha
        if not 0 < alpha <= 1:
            raise invalid("options.alpha", f"must be in (0, 1], not {alpha:g}")
        if options.HasField("min_alpha") and not 0 <= options.min_alpha <= alpha:
            raise invalid("options.min_alpha", f"must be in [0, alpha], not {options.min_alpha:g}")

    def _tokens(self, document: pb.Document, options: pb.InferenceOptions, path: str) -> tuple[list[str], int]:
        """A document's tokens after truncation, and their number before it."""
        content = document.WhichOneof("content")
        if content is None:
            raise invalid(path, "must have text or tokens")
        is_text = content == "text"
        tokens = re.findall(r"\w+", document.text.lower()) if is_text else list(document.tokens.tokens)
        max_tokens = self._limits.max_tokens
        if len(tokens) > max_tokens and not options.truncate:
            problem = f"has {len(tokens)} tokens, at most {max_tokens} are taken (see the option truncate)"
            raise invalid(f"{path}.{content}", problem)
        return tokens[:max_tokens], len(tokens)

    def _embedding(self, tokens: list[str], count: int, options: pb.InferenceOptions) -> pb.Embedding:
        known = [token for token in tokens if not token.startswith("unknown")]
        # A copy of the options that change the vector's direction.
        seed_options = pb.InferenceOptions.FromString(options.SerializeToString())
        seed_options.ClearField("normalize")
        seed_options.ClearField("truncate")
        vector = np.zeros(self._vector_size, np.float32)
        if known:
            key = " ".join(known).encode() + seed_options.SerializeToString(deterministic=True)
            generator = np.random.default_rng(list(hashlib.sha256(key).digest()))
            values = generator.uniform(-1, 1, self._vector_size)
            vector = (values / np.linalg.norm(values) if options.normalize else values).astype(np.float32)
        return pb.Embedding(
            vector=vector.tolist(),
            token_count=count,
            known_token_count=len(known),
            truncated=count > len(tokens),
        )
