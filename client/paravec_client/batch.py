"""Embeds a corpus in parallel, with Ray Data, Dask or Spark.

    from paravec_client.batch import Embedder

    embedder = Embedder(ClientConfig("dns:///paravec-server:50051"), column="body")
    dataset.map_batches(embedder)                                # Ray Data
    frame.map_partitions(embedder, meta=embedder.meta(frame))    # Dask
    frame.mapInPandas(embedder.frames, schema=...)               # Spark

None of them is imported here. An embedder is pickled as its configuration. Each worker process has one client for all
embedders with the same configuration.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from .client import EmbeddingClient
from .config import ClientConfig
from .errors import ConfigError, ParavecError
from .types import Embedding, InferenceOptions

COUNTS: Mapping[str, type] = {"token_count": np.int64, "known_token_count": np.int64, "truncated": np.bool_}
"""Columns with the token counts of `Embedding`, and their types."""


class Embedder:
    """A callable that adds vectors to a batch: a dict of arrays by column, or a pandas DataFrame.

    It returns a new batch with the same rows in the same order. A batch either succeeds as a whole or raises, so an
    engine can run it again without duplicate rows. Within a batch the client retries its calls.
    """

    def __init__(
        self,
        config: ClientConfig | None = None,
        *,
        column: str = "text",
        output: str = "vector",
        counts: bool = False,
        options: InferenceOptions | None = None,
        errors: Literal["raise", "null"] = "raise",
    ) -> None:
        """ConfigError for an unknown value of `errors`.

        Args:
            config: How to reach the server; ClientConfig() by default.
            column: Column with the documents: texts or lists of tokens.
            output: Column for the vectors, float32 of shape (rows, vector_size); in a DataFrame one array per cell.
            counts: Also add the columns of COUNTS.
            options: How to infer; the model's defaults if None.
            errors: "raise" raises the error of an invalid document. "null" gives it a vector of NaN and counts of 0,
                and adds the column "error".
        """
        if errors not in ("raise", "null"):
            raise ConfigError(f'errors: must be "raise" or "null", not {errors!r}')
        self.config, self.column, self.output = config or ClientConfig(), column, output
        self.counts, self.options, self.errors = counts, options, errors

    def __call__(self, batch: Any) -> Any:
        """The batch with the new columns; ConfigError if it lacks `column`, ParavecError if embedding fails."""
        if isinstance(batch, Mapping):
            return {**batch, **self._columns(self._documents(batch, list(batch)))}
        if not hasattr(batch, "assign"):
            raise ConfigError(f"a batch must be a dict of arrays or a DataFrame, not {type(batch).__name__}")
        columns = self._columns(self._documents(batch, list(batch.columns)))
        # A pandas column is 1-dimensional, so each cell holds an array.
        columns[self.output] = list(columns[self.output])
        return batch.assign(**columns)

    def frames(self, frames: Iterable[Any]) -> Iterator[Any]:
        """Each DataFrame with the new columns, for Spark's mapInPandas."""
        return map(self, frames)

    def meta(self, frame: Any) -> Any:
        """An empty DataFrame with the columns of the result for `frame`, for Dask's `meta`."""
        empty = getattr(frame, "_meta", frame).iloc[:0]
        types: dict[str, Any] = {self.output: object}
        if self.counts:
            types |= COUNTS
        if self.errors == "null":
            types["error"] = object
        return empty.assign(**{name: np.empty(0, dtype) for name, dtype in types.items()})

    def _documents(self, batch: Any, columns: list[Any]) -> list[Any]:
        if self.column not in columns:
            raise ConfigError(f"column: the batch has no {self.column!r}, only {', '.join(map(str, columns))}")
        return [list(cell) if isinstance(cell, np.ndarray) else cell for cell in batch[self.column]]

    def _columns(self, documents: list[Any]) -> dict[str, Any]:
        client = _client(self.config, os.getpid())
        outcomes: Sequence[Embedding | ParavecError]
        if self.errors == "raise":
            outcomes = client.embed_all(documents, self.options)
        else:
            outcomes = list(client.embed_stream(documents, self.options, errors="return"))
        embeddings = [None if isinstance(outcome, ParavecError) else outcome for outcome in outcomes]
        size = (
            next((len(embedding.vector) for embedding in embeddings if embedding), None) or client.model().vector_size
        )
        vectors = np.full((len(documents), size), np.nan, np.float32)
        for vector, embedding in zip(vectors, embeddings, strict=True):
            if embedding:
                vector[:] = embedding.vector
        columns: dict[str, Any] = {self.output: vectors}
        if self.counts:
            for name, dtype in COUNTS.items():
                columns[name] = np.array([getattr(embedding, name, 0) for embedding in embeddings], dtype)
        if self.errors == "null":
            columns["error"] = np.array([str(o) if isinstance(o, ParavecError) else None for o in outcomes], object)
        return columns


@lru_cache(maxsize=8)
def _client(config: ClientConfig, _process: int) -> EmbeddingClient:
    """This process's client for the configuration. The process id in the key keeps a fork from its parent's client."""
    return EmbeddingClient(config=config)
