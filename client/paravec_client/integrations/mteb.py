"""An encoder for MTEB, the benchmark of text embeddings."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from ..types import Vector
from .requirements import required
from .source import Source

with required("mteb"):
    from mteb.models import ModelMeta
    from mteb.models.abs_encoder import AbsEncoder
    from mteb.models.model_meta import ScoringFunction


class ParavecEncoder(AbsEncoder):
    """Doc2Vec vectors as MTEB's `EncoderProtocol`, compared by cosine::

    mteb.evaluate(ParavecEncoder("localhost:50051"), mteb.get_tasks(["STS12"]))
    """

    def __init__(
        self, target: str | None = None, *, artifact: str | None = None, normalize: bool | None = None
    ) -> None:
        """See `paravec_client.integrations` for the arguments."""
        self._source = Source(target, artifact, normalize)

    def encode(self, inputs: Iterable[dict[str, Any]], **_task: Any) -> Vector:
        """The vectors of the texts of all batches. Doc2Vec takes no prompts: queries and documents are alike."""
        return self._source.embed([text for batch in inputs for text in batch["text"]])

    @cached_property
    def mteb_model_meta(self) -> ModelMeta:
        """The model's name, and its digest as the revision under which MTEB keeps results."""
        model, normalize = self._source.model, self._source.normalize
        return ModelMeta.create_empty(
            {
                "name": f"paravec/{model.name}",
                "revision": model.digest.removeprefix("sha256:"),
                "embed_dim": self._source.vector_size,
                "similarity_fn_name": ScoringFunction.COSINE,
                "use_instructions": False,
                "experiment_kwargs": None if normalize is None else {"normalize": normalize},
            }
        )
