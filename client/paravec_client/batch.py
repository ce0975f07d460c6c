"""Embedding a corpus that one machine cannot, with the batch engines that people already run.

    from paravec_client.batch import Embedder

    embedder = Embedder(ClientConfig("dns:///paravec-server:50051"), column="body")
    dataset.map_batches(embedder)                                # Ray Data
    frame.map_partitions(embedder, meta=embedder.meta(frame))    # Dask
    frame.mapInPandas(embedder.frames, schema=...)               # Spark

None of them is imported here. An embedder travels to worker processes as its configuration only; each process has one
client for all embedders of a configuration.
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
"""Columns beside the vector, with the counts of `Embedding`, and their types."""


class Embedder:
    """A callable that adds vectors to a batch: a mapping of columns to arrays, or a DataFrame of pandas.

    The batch that it returns is a new one, with as many rows in the same order. A batch either comes back whole or
    raises, so an engine that runs it again has no row twice; calls are tried again within it, as the client does.
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
        """`column` holds the texts, or lists of tokens; `output` is to hold the vectors, with `counts` the columns of
        COUNTS what is known of each. With errors="null" a document at fault gets a vector of NaN and counts of 0, and
        the column "error" says why."""
        if errors not in ("raise", "null"):
            raise ConfigError(f'errors: must be "raise" or "null", not {errors!r}')
        self.config, self.column, self.output = config or ClientConfig(), column, output
        self.counts, self.options, self.errors = counts, options, errors

    def __call__(self, batch: Any) -> Any:
        """The batch with the new columns; ConfigError if it has no such column, ParavecError if embedding fails."""
        if isinstance(batch, Mapping):
            return {**batch, **self._columns(self._documents(batch, list(batch)))}
        if not hasattr(batch, "assign"):
            raise ConfigError(f"a batch must be a dict of arrays or a DataFrame, not {type(batch).__name__}")
        columns = self._columns(self._documents(batch, list(batch.columns)))
        # A column of pandas holds an array in each of its cells.
        columns[self.output] = list(columns[self.output])
        return batch.assign(**columns)

    def frames(self, frames: Iterable[Any]) -> Iterator[Any]:
        """The same of each of some DataFrames, one after the other."""
        return map(self, frames)

    def meta(self, frame: Any) -> Any:
        """An empty DataFrame with the columns that this makes of `frame`, for Dask."""
        empty = getattr(frame, "_meta", frame).iloc[:0]
        types: dict[str, Any] = {self.output: object}
        if self.counts:
            types |= COUNTS
        if self.errors == "null":
            types["error"] = object
        return empty.assign(**{name: np.empty(0, kind) for name, kind in types.items()})

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
        made = [None if isinstance(outcome, ParavecError) else outcome for outcome in outcomes]
        size = next((len(one.vector) for one in made if one), None) or client.model().vector_size
        vectors = np.full((len(documents), size), np.nan, np.float32)
        for vector, one in zip(vectors, made, strict=True):
            if one:
                vector[:] = one.vector
        columns: dict[str, Any] = {self.output: vectors}
        if self.counts:
            for name, kind in COUNTS.items():
                columns[name] = np.array([getattr(one, name, 0) for one in made], kind)
        if self.errors == "null":
            columns["error"] = np.array([str(o) if isinstance(o, ParavecError) else None for o in outcomes], object)
        return columns


@lru_cache(maxsize=8)
def _client(config: ClientConfig, _process: int) -> EmbeddingClient:
    """The client of this process; one that came from the parent by a fork is not used."""
    return EmbeddingClient(config=config)
