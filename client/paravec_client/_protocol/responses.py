"""Turns responses of paravec.v1 into the client's types; those of Embed are `decode`'s."""

from collections.abc import Iterator

from paravec.v1 import embedding_pb2 as pb

from ..types import InferenceOptions, Limits, ModelInfo, Neighbour, SimilarDocuments
from .decode import enum_name, method_name


def similar_documents(response: pb.FindSimilarResponse) -> Iterator[SimilarDocuments]:
    """The result of each query."""
    method = method_name(response.method)
    for result in response.results:
        # A server before lexical scores sends none.
        neighbours = tuple(
            Neighbour(
                getattr(neighbour, neighbour.WhichOneof("tag") or "name"),
                neighbour.cosine,
                neighbour.score if result.lexical_weight else neighbour.cosine,
            )
            for neighbour in result.neighbours
        )
        counts = result.token_count, result.known_token_count, result.truncated
        yield SimilarDocuments(neighbours, *counts, method, result.lexical_weight)


def _tokenizer(message: pb.Tokenizer) -> dict[str, str | int | bool | tuple[str, ...]]:
    """The fields that are set, by name."""
    declared = {field.name: value for field, value in message.ListFields()}
    if message.stop_words:
        declared["stop_words"] = tuple(message.stop_words)
    return declared


def model_info(message: pb.ModelInfo) -> ModelInfo:
    """The ModelInfo of a message."""
    defaults = message.defaults
    return ModelInfo(
        name=message.version.name,
        version=message.version.version,
        digest=message.version.digest,
        algorithm=enum_name(pb.Algorithm, message.algorithm),
        vector_size=message.vector_size,
        vocabulary_size=message.vocabulary_size,
        negative=message.negative,
        hierarchical_softmax=message.hierarchical_softmax,
        methods=tuple(enum_name(pb.Method, method) for method in message.methods),
        defaults=InferenceOptions(
            method=enum_name(pb.Method, defaults.method),  # type: ignore[arg-type]
            epochs=defaults.epochs,
            alpha=defaults.alpha,
            min_alpha=defaults.min_alpha,
            seed=defaults.seed,
            normalize=defaults.normalize,
            truncate=defaults.truncate,
        ),
        limits=Limits(
            max_documents=message.limits.max_documents,
            max_tokens=message.limits.max_tokens,
            max_epochs=message.limits.max_epochs,
            max_message_bytes=message.limits.max_message_bytes,
            max_top_k=message.limits.max_top_k,
        ),
        tokenizer=_tokenizer(message.tokenizer),
        document_count=message.document_count,
        lexical_index=message.lexical_index,
    )
