"""Makes requests of paravec.v1 from the client's types."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from numbers import Real
from typing import TypeVar, cast

import numpy as np

from paravec.v1 import embedding_pb2 as pb

from ..config import Batch
from ..types import Document, InferenceOptions, Limits, Query, Tag
from .call_settings import invalid

Content = TypeVar("Content", pb.Document, pb.Query, pb.Tag)
Item = TypeVar("Item")

# Bytes of a request message reserved for all but its documents.
_ENVELOPE_BYTES = 1024


def document_message(document: Document, path: str) -> pb.Document:
    """The message for a text or a list of tokens; InvalidArgumentError for another type or text that is not UTF-8.

    `path` names the document in errors, e.g. documents[3].
    """
    if isinstance(document, np.ndarray):
        # pyarrow and pandas return a list of tokens in a Parquet cell as an array.
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


def message_size(message: pb.Document | pb.Query | pb.Tag, path: str, max_message_bytes: int) -> int:
    """The size of a document, query or tag in bytes; InvalidArgumentError if no request message can hold it."""
    size = message.ByteSize()
    if size > max_message_bytes - _ENVELOPE_BYTES:
        raise invalid(path, f"has {size} bytes, the server accepts messages of {max_message_bytes} bytes")
    return size


def query_message(query: Query, path: str) -> pb.Query:
    """The message for a text, a list of tokens or a vector; InvalidArgumentError for another type."""
    if is_vector(query):
        try:
            # A value beyond the range of float32 becomes infinity, which the server rejects.
            with np.errstate(over="ignore"):
                return pb.Query(vector=pb.Vector(values=np.asarray(query, np.float32).tolist()))
        except (TypeError, ValueError):
            raise invalid(path, "must be a str, a list of str, or a vector: a list of numbers") from None
    document = document_message(cast(Document, query), path)
    if document.WhichOneof("content") == "text":
        return pb.Query(text=document.text)
    return pb.Query(tokens=document.tokens)


def is_vector(value: object) -> bool:
    """Whether `value` is a list of numbers, or an array of them of shape (n,)."""
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.dtype.kind in "fiu"
    return _is_list(value) and isinstance(next(iter(cast(Sequence[object], value)), None), Real)


def tag_message(tag: Tag, path: str) -> pb.Tag:
    """The message for a tag; InvalidArgumentError for another type, or a number or text that no field can hold."""
    try:
        if isinstance(tag, str):
            return pb.Tag(name=tag)
        if isinstance(tag, int | np.integer) and not isinstance(tag, bool):
            return pb.Tag(number=int(tag))
    except ValueError:
        raise invalid(path, "must have at most 64 bits, or be text that UTF-8 can carry") from None
    raise invalid(path, f"must be a str or an int, not {type(tag).__name__}")


def options_message(options: InferenceOptions | None) -> pb.InferenceOptions:
    """The message for options; InvalidArgumentError for a value of the wrong type or outside its field's range."""
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
            raise invalid(f"options.{name}", f"must be {_OPTION_VALUES[name]}, not {value!r}") from None
    return message


_OPTION_VALUES = {
    "method": '"sgd" or "map"',
    "epochs": "a whole number, at least 1",
    "alpha": "a number in (0, 1]",
    "min_alpha": "a number in [0, alpha]",
    "seed": "a whole number from 0 to 2**64 - 1",
    "normalize": "True or False",
    "truncate": "True or False",
}


def find_similar_message(
    top_k: int, options: InferenceOptions | None, lexical_weight: float | None
) -> pb.FindSimilarRequest:
    """The request without its queries; InvalidArgumentError for a value of the wrong type or range."""
    try:
        message = pb.FindSimilarRequest(top_k=top_k, options=options_message(options))
    except (ValueError, TypeError):
        raise invalid("top_k", f"must be a whole number, at least 1, not {top_k!r}") from None
    try:
        if lexical_weight is not None:
            message.lexical_weight = lexical_weight
    except TypeError:
        raise invalid("lexical_weight", f"must be a number from 0 to 1, or None, not {lexical_weight!r}") from None
    return message


def single_text(documents: object) -> str | None:
    """The text, if `documents` is a str or a 0-dimensional array with one; None for a list of documents."""
    if isinstance(documents, np.ndarray) and documents.ndim == 0:
        documents = documents.item()
    return documents if isinstance(documents, str) else None


def single_query(queries: object) -> str | Sequence[float] | None:
    """The text or vector, if `queries` is one query; None for a list of queries."""
    if (text := single_text(queries)) is not None:
        return text
    # Other libraries, such as torch, have vectors with `ndim` and `tolist` too.
    plain = queries.tolist() if hasattr(queries, "tolist") and getattr(queries, "ndim", 1) == 1 else queries
    return cast(Sequence[float], plain) if is_vector(plain) else None


def plain_values(items: Iterable[Item], path: str = "documents") -> Iterable[Item]:
    """The documents or queries in a list, a generator or a column; InvalidArgumentError for a single one or a table.

    Columns of pyarrow, polars, pandas and numpy are converted to lists of plain Python values by their own method.
    """
    if isinstance(items, str):
        raise invalid(path, f"must be a list of {path}, not one text")
    # Iterating over a table or a dict would give the names of its columns.
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
            converted: Iterable[Item] = values()
            return converted
    return items


def split_into_batches(
    documents: Iterable[Content], limits: Limits, config: Batch, path: str = "documents"
) -> Iterator[list[Content]]:
    """Documents or queries in lists of one call each; InvalidArgumentError for one that no request message can hold."""
    max_bytes = min(limits.max_message_bytes - _ENVELOPE_BYTES, config.bytes)
    max_documents = min(limits.max_documents, config.documents)
    batch: list[Content] = []
    batch_bytes = 0
    for i, document in enumerate(documents):
        # The tag and length of a field take up to 10 bytes.
        size = message_size(document, f"{path}[{i}]", limits.max_message_bytes) + 10
        if batch and (len(batch) == max_documents or batch_bytes + size > max_bytes):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(document)
        batch_bytes += size
    if batch:
        yield batch
