"""Between the messages of paravec.v1 and the types of paravec_model."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from math import isfinite
from typing import Any, NamedTuple

from paravec.v1 import embedding_pb2 as pb
from paravec_model.doctags import Tag
from paravec_model.encoder import Encoder, Encoding
from paravec_model.errors import OptionError
from paravec_model.manifest import Manifest
from paravec_model.neighbours import Neighbour
from paravec_model.options import InferenceOptions
from paravec_model.tokenizer import Tokenizer

from .errors import InvalidArgumentError
from .inference import Tokens, cut
from .settings import Settings

METHODS = {"sgd": pb.METHOD_SGD, "map": pb.METHOD_MAP}
_METHOD_NAMES = {number: name for name, number in METHODS.items()}
_ALGORITHMS = {
    "dbow": pb.ALGORITHM_DBOW,
    "dm_mean": pb.ALGORITHM_DM_MEAN,
    "dm_sum": pb.ALGORITHM_DM_SUM,
    "dm_concat": pb.ALGORITHM_DM_CONCAT,
}


# Neighbours of a query whose caller does not say how many.
_TOP_K = 10


class Options(NamedTuple):
    """Options of a call, the model's defaults filled in."""

    inference: InferenceOptions
    truncate: bool


class OptionsReader:
    """Reads options as `read_options` does. Callers ask for the same few again and again, and those it keeps."""

    def __init__(self, encoder: Encoder, limits: Settings, path: str) -> None:
        self.read = lru_cache(256)(partial(read_options, encoder=encoder, limits=limits, path=path))

    def __call__(self, message: pb.InferenceOptions) -> Options:
        """The options that the message says."""
        # What this version does not know must not fill the cache.
        message.DiscardUnknownFields()
        return self.read(message.SerializeToString())


def read_options(data: bytes, encoder: Encoder, limits: Settings, path: str) -> Options:
    """The options that an InferenceOptions message says; InvalidArgumentError names the field at `path`."""
    message = pb.InferenceOptions.FromString(data)
    changes: dict[str, Any] = {
        name: getattr(message, name)
        for name in ("epochs", "alpha", "min_alpha", "seed", "normalize")
        if message.HasField(name)
    }
    if message.method:
        changes["method"] = _METHOD_NAMES.get(message.method)
        if changes["method"] not in encoder.methods:
            known = " or ".join(pb.Method.Name(METHODS[method]) for method in encoder.methods)
            raise InvalidArgumentError(f"{path}.method", f"must be {known} for this model")
    if changes.get("epochs", 0) > limits.max_epochs:
        raise InvalidArgumentError(f"{path}.epochs", f"must be at most {limits.max_epochs}, not {changes['epochs']}")
    defaults = encoder.defaults
    if not changes:
        return Options(defaults, message.truncate)
    try:
        return Options(replace(defaults, **changes), message.truncate)
    except OptionError as error:
        raise InvalidArgumentError(f"{path}.{error.field}", error.problem) from error


def read_document(
    document: pb.Document | pb.Query, tokenize: Tokenizer, options: Options, limits: Settings, path: str
) -> Tokens:
    """The tokens of a document; InvalidArgumentError names the field at `path`."""
    content = document.WhichOneof("content")
    if content is None:
        raise InvalidArgumentError(path, "must have text or tokens")
    tokens = tokenize(document.text) if content == "text" else list(document.tokens.tokens)
    return cut(tokens, limits.max_tokens, f"{path}.{content}", truncate=options.truncate)


def read_top_k(request: pb.FindSimilarRequest, limits: Settings) -> int:
    """How many neighbours are wanted; InvalidArgumentError if that cannot be."""
    if not request.HasField("top_k"):
        return min(_TOP_K, limits.max_top_k)
    if not 1 <= request.top_k <= limits.max_top_k:
        raise InvalidArgumentError("top_k", f"must be 1 to {limits.max_top_k}, not {request.top_k}")
    return request.top_k


def read_query(query: pb.Query, encoder: Encoder, options: Options, limits: Settings, path: str) -> Tokens:
    """The tokens of a query, none of a vector; InvalidArgumentError names the field at `path`."""
    if query.WhichOneof("content") is None:
        raise InvalidArgumentError(path, "must have text, tokens or a vector")
    if not query.HasField("vector"):
        return read_document(query, encoder.tokenize, options, limits, path)
    values, size = query.vector.values, encoder.manifest.algorithm.vector_size
    if len(values) != size:
        raise InvalidArgumentError(f"{path}.vector", f"must have {size} numbers, not {len(values)}")
    if not all(map(isfinite, values)):
        raise InvalidArgumentError(f"{path}.vector", "must have finite numbers only")
    return Tokens((), 0)


def query_vectors(queries: Sequence[pb.Query], encoding: Encoding) -> list[Sequence[float]]:
    """The vector of each query: its own, or what was inferred."""
    pairs = zip(queries, encoding.vectors, strict=True)
    # A list, which is read fifteen times as fast as the message's own sequence.
    return [list(query.vector.values) if query.HasField("vector") else inferred for query, inferred in pairs]


def write_similar(
    queries: Sequence[Tokens], encoding: Encoding, found: Sequence[Sequence[Neighbour]], add: Callable[..., Any]
) -> None:
    """Fill a message for each query, in order; `add` makes it, given its other fields."""
    for query, known, neighbours in zip(queries, encoding.known_token_counts, found, strict=True):
        similar = add(token_count=query.before, known_token_count=known, truncated=query.truncated)
        for tag, cosine in neighbours:
            similar.neighbours.add(cosine=cosine, **_tag(tag))


def _tag(tag: Tag) -> dict[str, Any]:
    """The field that holds a tag. What a message cannot hold, a huge number or half a surrogate pair, it tells."""
    if isinstance(tag, int) and -(2**63) <= tag < 2**63:
        return {"number": tag}
    return {"name": str(tag).encode("utf-8", "replace").decode()}


def write_embeddings(documents: Sequence[Tokens], encoding: Encoding, add: Callable[..., pb.Embedding]) -> None:
    """Fill a message for each encoded document, in order; `add` makes it, given its other fields.

    A packed field's bytes are the array's own: to read them in is five times as fast as to set its numbers one by one.
    """
    data, size = encoding.vectors.astype("<f4", copy=False).tobytes(), 4 * encoding.vectors.shape[1]
    prefix = _vector_of(size)
    for n, (document, known) in enumerate(zip(documents, encoding.known_token_counts, strict=True)):
        embedding = add(token_count=document.before, known_token_count=known, truncated=document.truncated)
        embedding.MergeFromString(prefix + data[n * size : (n + 1) * size])


@lru_cache(1)
def _vector_of(size: int) -> bytes:
    """What stands before the bytes of Embedding.vector: its number, that bytes follow, and how many."""
    head = bytearray([pb.Embedding.DESCRIPTOR.fields_by_name["vector"].number << 3 | 2])
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    return bytes([*head, size])


def write_version(manifest: Manifest) -> pb.ModelVersion:
    """Name, version and digest of a model."""
    return pb.ModelVersion(name=manifest.name, version=manifest.version, digest=manifest.digest)


def write_model(encoder: Encoder, limits: Settings) -> pb.ModelInfo:
    """All that GetModel tells."""
    manifest = encoder.manifest
    algorithm, defaults, tokenizer = manifest.algorithm, encoder.defaults, manifest.tokenizer
    return pb.ModelInfo(
        version=write_version(manifest),
        algorithm=_ALGORITHMS[algorithm.mode],
        vector_size=algorithm.vector_size,
        vocabulary_size=manifest.vocabulary_size,
        negative=algorithm.negative,
        hierarchical_softmax=algorithm.hs,
        methods=[METHODS[method] for method in encoder.methods],
        defaults=pb.InferenceOptions(
            method=METHODS[defaults.method],
            epochs=defaults.epochs,
            alpha=defaults.alpha,
            min_alpha=defaults.min_alpha,
            seed=defaults.seed,
            normalize=defaults.normalize,
            truncate=False,
        ),
        limits=pb.Limits(
            max_documents=limits.max_documents,
            max_tokens=limits.max_tokens,
            max_epochs=limits.max_epochs,
            max_message_bytes=limits.max_message_bytes,
            max_top_k=limits.max_top_k,
        ),
        tokenizer=pb.Tokenizer(
            kind=tokenizer.kind,
            lowercase=tokenizer.lowercase,
            deaccent=getattr(tokenizer, "deaccent", False),
            min_len=getattr(tokenizer, "min_len", 0),
            max_len=getattr(tokenizer, "max_len", 0),
            pattern=getattr(tokenizer, "pattern", ""),
        ),
        document_count=manifest.doctag_count,
    )
