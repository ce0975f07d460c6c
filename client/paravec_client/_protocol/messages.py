"""Between the client's types and the messages of paravec.v1."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from numbers import Real
from typing import TypeVar, cast

import numpy as np

from paravec.v1 import embedding_pb2 as pb

from ..config import Batch
from ..types import Document, InferenceOptions, Limits, ModelInfo, Neighbour, Query, Similar
from .call_settings import invalid
from .decode import enum_name, method_name

Content = TypeVar("Content", pb.Document, pb.Query)
Item = TypeVar("Item")

# Room that a message needs beside its documents.
_OVERHEAD = 1024


def document_message(document: Document, path: str) -> pb.Document:
    """The message for a text or a list of tokens; InvalidArgumentError for what cannot go over the wire."""
    if isinstance(document, np.ndarray):
        # A cell of Parquet may be an array of tokens.
        document = cast(Document, document.tolist())
    try:
        if isinstance(document, str):
            message = pb.Document(text=document)
        elif _is_list(document) and all(isinstance(token, str) for token in document):
            message = pb.Document(tokens=pb.TokenList(tokens=document))
        else:
            raise invalid(path, f"must be a str or a list of str, not {type(document).__name__}")
    except UnicodeEncodeError as error:
        problem = f"has a lone surrogate at character {error.start}, which UTF-8 cannot carry"
        raise invalid(path, problem) from None
    except ValueError:
        raise invalid(path, "has a lone surrogate, which UTF-8 cannot carry") from None
    return message


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


def checked_size(message: pb.Document | pb.Query, path: str, largest: int) -> int:
    """The bytes of a document's message; InvalidArgumentError if the server, which takes `largest`, refuses so many."""
    size = message.ByteSize()
    if size > largest - _OVERHEAD:
        raise invalid(path, f"has {size} bytes, the server takes messages of {largest}")
    return size


def query_message(query: Query, path: str) -> pb.Query:
    """The message for a text, a list of tokens or a vector; InvalidArgumentError for what cannot go over the wire."""
    if is_vector(query):
        try:
            # What is too large for a float becomes infinite, and the server says so.
            with np.errstate(over="ignore"):
                return pb.Query(vector=pb.Vector(values=np.asarray(query, np.float32).tolist()))
        except (TypeError, ValueError):
            raise invalid(path, "must be a str, a list of str, or a vector: a list of numbers") from None
    document = document_message(cast(Document, query), path)
    if document.WhichOneof("content") == "text":
        return pb.Query(text=document.text)
    return pb.Query(tokens=document.tokens)


def is_vector(value: object) -> bool:
    """Whether it is a list or an array, (n,), of numbers."""
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.dtype.kind in "fiu"
    return _is_list(value) and isinstance(next(iter(cast(Sequence[object], value)), None), Real)


def options_message(options: InferenceOptions | None) -> pb.InferenceOptions:
    """The message for options; InvalidArgumentError for a value of the wrong type or range."""
    message = pb.InferenceOptions()
    if not isinstance(options, InferenceOptions | None):
        raise invalid("options", f"must be InferenceOptions(...) or None, not {type(options).__name__}")
    for name, value in ((f.name, getattr(options, f.name)) for f in fields(InferenceOptions)) if options else ():
        if value is None:
            continue
        try:
            if name == "method":
                message.method = pb.Method.Value(f"METHOD_{value.upper()}")  # type: ignore[assignment]
            else:
                setattr(message, name, value)
        except (ValueError, TypeError, AttributeError):
            raise invalid(f"options.{name}", f"must be {_OPTIONS[name]}, not {value!r}") from None
    return message


_OPTIONS = {
    "method": '"sgd" or "map"',
    "epochs": "a whole number, at least 1",
    "alpha": "a number in (0, 1]",
    "min_alpha": "a number in [0, alpha]",
    "seed": "a whole number from 0 to 2**64 - 1",
    "normalize": "True or False",
    "truncate": "True or False",
}


def similar_message(top_k: int, options: InferenceOptions | None) -> pb.FindSimilarRequest:
    """The message of a search but its queries; InvalidArgumentError for a value of the wrong type or range."""
    try:
        return pb.FindSimilarRequest(top_k=top_k, options=options_message(options))
    except (ValueError, TypeError):
        raise invalid("top_k", f"must be a whole number, at least 1, not {top_k!r}") from None


def one_text(documents: object) -> str | None:
    """The text, if what should be embedded is one: a str, or an array of no dimension that holds one."""
    if isinstance(documents, np.ndarray) and documents.ndim == 0:
        documents = documents.item()
    return documents if isinstance(documents, str) else None


def one_query(queries: object) -> str | Sequence[float] | None:
    """The text or vector, if it is to be one query."""
    if (text := one_text(queries)) is not None:
        return text
    # Vectors of other libraries, torch's say, are as good as arrays.
    plain = queries.tolist() if hasattr(queries, "tolist") and getattr(queries, "ndim", 1) == 1 else queries
    return cast(Sequence[float], plain) if is_vector(plain) else None


def listed(items: Iterable[Item], path: str = "documents") -> Iterable[Item]:
    """A list, a generator or a column of documents or queries, as plain values; InvalidArgumentError for what is none.

    The columns of pyarrow, polars, pandas and numpy give their plain values at once by a method of their own.
    """
    if isinstance(items, str):
        raise invalid(path, f"must be a list of {path}, not one text")
    # A table, too, would be read: as the names of its columns.
    if (
        not isinstance(items, Iterable)
        or isinstance(items, Mapping | bytes | bytearray)
        or hasattr(items, "columns")
        or getattr(items, "ndim", 1) == 0
    ):
        raise invalid(path, f"must be a text, or a list or column of {path}, not {type(items).__name__}")
    if isinstance(items, np.ndarray) and items.dtype.kind in "fiu":
        return list(items)
    for name in ("to_pylist", "to_list", "tolist"):
        if values := getattr(items, name, None):
            found: Iterable[Item] = values()
            return found
    return items


def batches(
    documents: Iterable[Content], limits: Limits, most: Batch, path: str = "documents"
) -> Iterator[list[Content]]:
    """Cut documents into lists that the server accepts in one call; InvalidArgumentError for one too large for any."""
    batch: list[Content] = []
    room = min(limits.max_message_bytes - _OVERHEAD, most.bytes)
    count = min(limits.max_documents, most.documents)
    size = 0
    for i, document in enumerate(documents):
        # A field's tag and length take up to ten bytes.
        need = checked_size(document, f"{path}[{i}]", limits.max_message_bytes) + 10
        if batch and (len(batch) == count or size + need > room):
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += need
    if batch:
        yield batch


def read_similar(response: pb.FindSimilarResponse) -> Iterator[Similar]:
    """What is near to each query."""
    method = method_name(response.method)
    for found in response.results:
        neighbours = tuple(
            Neighbour(getattr(near, near.WhichOneof("tag") or "name"), near.cosine) for near in found.neighbours
        )
        yield Similar(neighbours, found.token_count, found.known_token_count, found.truncated, method)


def read_model(message: pb.ModelInfo) -> ModelInfo:
    """The server's description of itself."""
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
        tokenizer={field.name: value for field, value in message.tokenizer.ListFields()},
        document_count=message.document_count,
    )
