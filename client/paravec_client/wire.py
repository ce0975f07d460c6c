"""Between the client's types and the messages of paravec.v1."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from numbers import Real
from typing import TypeVar, cast

import numpy as np

from paravec.v1 import embedding_pb2 as pb

from .config import Batch
from .errors import FieldViolation, InvalidArgumentError
from .types import Document, InferenceOptions, Limits, ModelInfo, Neighbour, Query, Similar

Content = TypeVar("Content", pb.Document, pb.Query)

# Room that a message needs beside its documents.
_OVERHEAD = 1024


def document_message(document: Document, path: str) -> pb.Document:
    """The message for a text or a list of tokens; InvalidArgumentError for what cannot go over the wire."""
    try:
        if isinstance(document, str):
            message = pb.Document(text=document)
        elif isinstance(document, Sequence) and all(isinstance(token, str) for token in document):
            message = pb.Document(tokens=pb.TokenList(tokens=document))
        else:
            raise invalid(path, f"must be a str or a list of str, not {type(document).__name__}")
    except UnicodeEncodeError as error:
        problem = f"has a lone surrogate at character {error.start}, which UTF-8 cannot carry"
        raise invalid(path, problem) from None
    except ValueError:
        raise invalid(path, "has a lone surrogate, which UTF-8 cannot carry") from None
    return message


def checked_size(message: pb.Document | pb.Query, path: str, largest: int) -> int:
    """The bytes of a document's message; InvalidArgumentError if the server, which takes `largest`, refuses so many."""
    size = message.ByteSize()
    if size > largest - _OVERHEAD:
        raise invalid(path, f"has {size} bytes, the server takes messages of {largest}")
    return size


def query_message(query: Query, path: str) -> pb.Query:
    """The message for a text, a list of tokens or a vector; InvalidArgumentError for what cannot go over the wire."""
    if isinstance(query, np.ndarray) or (isinstance(query, Sequence) and query and isinstance(query[0], Real)):
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


def options_message(options: InferenceOptions | None) -> pb.InferenceOptions:
    """The message for options; InvalidArgumentError for a value of the wrong type or range."""
    message = pb.InferenceOptions()
    for name, value in ((f.name, getattr(options, f.name)) for f in fields(InferenceOptions)) if options else ():
        if value is None:
            continue
        try:
            if name == "method":
                message.method = pb.Method.Value(f"METHOD_{value.upper()}")  # type: ignore[assignment]
            else:
                setattr(message, name, value)
        except (ValueError, TypeError, AttributeError):
            raise invalid(f"options.{name}", f"cannot be {value!r}") from None
    return message


def similar_message(top_k: int, options: InferenceOptions | None) -> pb.FindSimilarRequest:
    """The message of a search but its queries; InvalidArgumentError for a value of the wrong type or range."""
    try:
        return pb.FindSimilarRequest(top_k=top_k, options=options_message(options))
    except (ValueError, TypeError):
        raise invalid("top_k", f"cannot be {top_k!r}") from None


def listed(documents: Iterable[Document]) -> Iterable[Document]:
    """A list, a generator or a column of documents, as plain values; InvalidArgumentError for what is none.

    The columns of pyarrow, polars, pandas and numpy give their plain values at once by a method of their own.
    """
    if isinstance(documents, str):
        raise invalid("documents", "must be a list of documents, not one text")
    # A table, too, would be read: as the names of its columns.
    if not isinstance(documents, Iterable) or isinstance(documents, Mapping | bytes) or hasattr(documents, "columns"):
        raise invalid("documents", f"must be a text, or a list or column of documents, not {type(documents).__name__}")
    for name in ("to_pylist", "to_list", "tolist"):
        if values := getattr(documents, name, None):
            found: Iterable[Document] = values()
            return found
    return documents


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


def read_similar(message: pb.SimilarDocuments) -> Similar:
    """What is near to one query."""
    neighbours = (
        Neighbour(getattr(near, near.WhichOneof("tag") or "name"), near.cosine) for near in message.neighbours
    )
    return Similar(tuple(neighbours), message.token_count, message.known_token_count, message.truncated)


def read_model(message: pb.ModelInfo) -> ModelInfo:
    """The server's description of itself."""
    defaults = message.defaults
    return ModelInfo(
        name=message.version.name,
        version=message.version.version,
        digest=message.version.digest,
        algorithm=_name(pb.Algorithm, message.algorithm),
        vector_size=message.vector_size,
        vocabulary_size=message.vocabulary_size,
        negative=message.negative,
        hierarchical_softmax=message.hierarchical_softmax,
        methods=tuple(_name(pb.Method, method) for method in message.methods),
        defaults=InferenceOptions(
            method=_name(pb.Method, defaults.method),  # type: ignore[arg-type]
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


def _name(enum: object, number: int) -> str:
    """A value of an enum without its prefix, in lower case; a number for one that is newer than this client."""
    values = enum.DESCRIPTOR.values_by_number  # type: ignore[attr-defined]
    return str(values[number].name.split("_", 1)[1].lower()) if number in values else str(number)


def invalid(path: str, problem: str) -> InvalidArgumentError:
    """The error for a field that the client itself finds at fault."""
    return InvalidArgumentError(
        f"{path}: {problem}", code="INVALID_ARGUMENT", violations=[FieldViolation(path, problem)]
    )
