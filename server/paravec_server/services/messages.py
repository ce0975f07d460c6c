"""Turns messages of paravec.v1 into the types of paravec_model and back."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from math import isfinite
from typing import Any

from paravec.v1 import embedding_pb2 as pb
from paravec_model.artifact import Artifact, Manifest
from paravec_model.artifact.doctags import Tag
from paravec_model.encoder import Encoder, Encoding
from paravec_model.errors import OptionError
from paravec_model.inference.similar import Found
from paravec_model.text.token_ids import NO_LIMIT, Document
from paravec_model.text.tokenizer import tokenizer_to_dict

from ..rpc.errors import InvalidArgumentError, NoLexicalIndexError, TooManyTokensError, UnknownTagsError
from ..settings import Settings
from .inference import Options

METHODS = {"sgd": pb.METHOD_SGD, "map": pb.METHOD_MAP}
# Options that a method does not use, so that a request must not set them.
_UNUSED = {"sgd": (), "map": ("epochs", "alpha", "min_alpha", "seed")}
_METHOD_NAMES = {number: name for name, number in METHODS.items()}
_ALGORITHMS = {
    "dbow": pb.ALGORITHM_DBOW,
    "dm_mean": pb.ALGORITHM_DM_MEAN,
    "dm_sum": pb.ALGORITHM_DM_SUM,
    "dm_concat": pb.ALGORITHM_DM_CONCAT,
}

# Neighbours of a query if the request does not set top_k.
_DEFAULT_TOP_K = 10


class OptionsReader:
    """Reads options as `read_options` does, with a cache: callers send the same few again and again."""

    def __init__(self, encoder: Encoder, limits: Settings, path: str, *, search: bool = False) -> None:
        self.read = lru_cache(256)(partial(read_options, encoder=encoder, limits=limits, path=path, search=search))

    def __call__(self, message: pb.InferenceOptions) -> Options:
        """The options of a message."""
        # Unknown fields must not fill the cache.
        message.DiscardUnknownFields()
        return self.read(message.SerializeToString())


def read_options(data: bytes, encoder: Encoder, limits: Settings, path: str, *, search: bool = False) -> Options:
    """The options of an InferenceOptions message; InvalidArgumentError names the wrong field below `path`.

    `search`: for queries that look for the model's documents, whose vectors must be comparable with theirs.
    """
    message = pb.InferenceOptions.FromString(data)
    changes: dict[str, Any] = {
        name: getattr(message, name)
        for name in ("epochs", "alpha", "min_alpha", "seed", "normalize")
        if message.HasField(name)
    }
    if message.method:
        changes["method"] = _METHOD_NAMES.get(message.method)
        methods = encoder.search_methods if search else encoder.methods
        if changes["method"] not in methods:
            known = " or ".join(pb.Method.Name(METHODS[method]) for method in methods)
            why = ", which indexed its documents" if methods != encoder.methods else ""
            raise InvalidArgumentError(f"{path}.method", f"must be {known} for this model{why}")
        for name in _UNUSED[changes["method"]]:
            if name in changes:
                method = pb.Method.Name(message.method)
                raise InvalidArgumentError(f"{path}.{name}", f"has no effect with {method}: leave it out")
    if changes.get("epochs", 0) > limits.max_epochs:
        raise InvalidArgumentError(f"{path}.epochs", f"must be at most {limits.max_epochs}, not {changes['epochs']}")
    defaults = encoder.search_defaults if search else encoder.defaults
    max_tokens = NO_LIMIT if message.truncate else limits.max_tokens
    if not changes:
        return Options(defaults, max_tokens)
    try:
        return Options(replace(defaults, **changes), max_tokens)
    except OptionError as error:
        raise InvalidArgumentError(f"{path}.{error.field}", error.problem) from error


def content_of(document: pb.Document | pb.Query, path: str, limit: int) -> Document:
    """The text or tokens of a document. InvalidArgumentError names the field at `path` if there are none, or more than
    `limit` tokens, which are then not copied."""
    if text := document.text:
        return text
    content = document.WhichOneof("content")
    if content is None:
        raise InvalidArgumentError(path, "must have text or tokens")
    if content == "text":
        return text
    tokens = document.tokens.tokens
    if len(tokens) > limit:
        raise TooManyTokensError(f"{path}.tokens", len(tokens), limit)
    return list(tokens)


def path_of(document: pb.Document | pb.Query, path: str) -> str:
    """The path of the text or tokens of a document at `path`."""
    return f"{path}.{document.WhichOneof('content')}"


def read_top_k(request: pb.FindSimilarRequest, limits: Settings) -> int:
    """How many neighbours a query gets; InvalidArgumentError if out of range."""
    if not request.HasField("top_k"):
        return min(_DEFAULT_TOP_K, limits.max_top_k)
    if not 1 <= request.top_k <= limits.max_top_k:
        raise InvalidArgumentError("top_k", f"must be 1 to {limits.max_top_k}, not {request.top_k}")
    return request.top_k


def read_lexical_weight(request: pb.FindSimilarRequest, encoder: Encoder) -> float | None:
    """The weight of the lexical score, None if the search chooses it; InvalidArgumentError if out of range,
    NoLexicalIndexError if the model has none to weigh."""
    if not request.HasField("lexical_weight"):
        return None
    weight = request.lexical_weight
    if not 0 <= weight <= 1:
        raise InvalidArgumentError("lexical_weight", f"must be 0 to 1, not {weight:g}")
    if weight and not encoder.manifest.lexical_index:
        raise NoLexicalIndexError
    return weight


def query_content(query: pb.Query, encoder: Encoder, path: str, limit: int) -> Document:
    """The text or tokens of a query, "" if it is a vector; InvalidArgumentError names the wrong field at `path`."""
    if query.WhichOneof("content") is None:
        raise InvalidArgumentError(path, "must have text, tokens or a vector")
    if not query.HasField("vector"):
        return content_of(query, path, limit)
    values, size = query.vector.values, encoder.manifest.algorithm.vector_size
    if len(values) != size:
        raise InvalidArgumentError(f"{path}.vector", f"must have {size} numbers, not {len(values)}")
    if not all(map(isfinite, values)):
        raise InvalidArgumentError(f"{path}.vector", "must have finite numbers only")
    return ""


def query_vectors(queries: Sequence[pb.Query], encoding: Encoding) -> list[Sequence[float]]:
    """The vector of each query: its own, or the inferred one."""
    pairs = zip(queries, encoding.vectors, strict=True)
    # NumPy reads a list fifteen times as fast as protobuf's repeated field.
    return [list(query.vector.values) if query.HasField("vector") else inferred for query, inferred in pairs]


def write_similar(encoding: Encoding, found: Sequence[Found], add: Callable[..., Any]) -> None:
    """Write the neighbours of each query, in order; `add` makes its message from the other fields."""
    counts = encoding.token_counts, encoding.known_token_counts, encoding.truncated
    for count, known, truncated, (neighbours, weight) in zip(*counts, found, strict=True):
        similar = add(token_count=count, known_token_count=known, truncated=truncated, lexical_weight=weight)
        for tag, cosine, score in neighbours:
            similar.neighbours.add(cosine=cosine, score=score, **_tag(tag))


def _tag(tag: Tag) -> dict[str, Any]:
    """The field that holds a tag: `number`, or `name` for text and for integers beyond 64 bits. Lone surrogates, which
    UTF-8 lacks, become question marks."""
    if isinstance(tag, int) and -(2**63) <= tag < 2**63:
        return {"number": tag}
    return {"name": str(tag).encode("utf-8", "replace").decode()}


def tag_rows(tags: Sequence[pb.Tag], artifact: Artifact) -> list[int]:
    """The row of each tag among the documents' vectors; UnknownTagsError names those that no document has."""
    rows, unknown = list[int](), list[str]()
    for i, tag in enumerate(tags):
        if (kind := tag.WhichOneof("tag")) is None:
            raise InvalidArgumentError(f"tags[{i}]", "must have a name or a number")
        row = artifact.index_of_tag(tag.name if kind == "name" else tag.number)
        if row is None:
            unknown.append(f"tags[{i}]")
        else:
            rows.append(row)
    if unknown:
        raise UnknownTagsError(unknown)
    return rows


def write_version(manifest: Manifest) -> pb.ModelVersion:
    """The name, version and digest of a model."""
    return pb.ModelVersion(name=manifest.name, version=manifest.version, digest=manifest.digest)


def write_model(encoder: Encoder, limits: Settings) -> pb.ModelInfo:
    """The answer to GetModel."""
    manifest = encoder.manifest
    algorithm, defaults = manifest.algorithm, encoder.defaults
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
        tokenizer=pb.Tokenizer(**tokenizer_to_dict(manifest.tokenizer)),
        document_count=manifest.doctag_count,
        lexical_index=bool(manifest.lexical_index),
    )
