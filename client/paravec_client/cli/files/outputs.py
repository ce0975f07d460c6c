"""Writes vectors as .npy, JSONL or Parquet, record by record, so that an interrupted file can be continued."""

import io
import json
from abc import ABC, abstractmethod
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ... import ModelInfo
from ...batch import COUNTS
from ..errors import CommandError
from ..optional import import_pyarrow
from .outcomes import RecordOutcome


class Output(ABC):
    """Appends records to a file. After `flush` the file ends with a whole record and can be continued there."""

    suffixes: tuple[str, ...]
    """File suffixes of the format."""
    has_ids = True
    """Whether records carry their document's id. Without ids no document can be skipped."""
    append_only = True
    """Whether written bytes never change, so that the file may be compressed or a pipe."""

    def __init__(self, file: Any, model: ModelInfo, id_type: type) -> None:
        """`file` is binary and positioned at its end; `id_type` is str or int."""
        self.file, self.model, self.id_type = file, model, id_type

    @abstractmethod
    def add(self, outcome: RecordOutcome) -> None:
        """Append the record of a document."""

    def flush(self) -> int:
        """Write all added records to the file; returns its size in bytes."""
        self.file.flush()
        return int(self.file.tell())

    def finish(self, partial: Path, path: Path) -> None:
        """Complete the file at `partial` and move it to `path`."""
        self.flush()
        partial.replace(path)


class NpyOutput(Output):
    """A float32 array of shape (n, vector_size); the row of a document without a vector is NaN."""

    suffixes = (".npy",)
    has_ids = False
    append_only = False

    def __init__(self, file: Any, model: ModelInfo, id_type: type) -> None:
        super().__init__(file, model, id_type)
        self._nan_row = np.full(model.vector_size, np.nan, "<f4").tobytes()
        if not file.tell():
            file.write(self._header(0))

    def add(self, outcome: RecordOutcome) -> None:
        embedding = outcome.embedding
        self.file.write(embedding.vector.astype("<f4", copy=False).tobytes() if embedding else self._nan_row)

    def finish(self, partial: Path, path: Path) -> None:
        rows = (self.flush() - len(self._header(0))) // len(self._nan_row)
        # numpy pads headers, so the header keeps its size whatever the number of rows.
        self.file.seek(0)
        self.file.write(self._header(rows))
        super().finish(partial, path)

    def _header(self, rows: int) -> bytes:
        header = io.BytesIO()
        array = {"descr": "<f4", "fortran_order": False, "shape": (rows, self.model.vector_size)}
        np.lib.format.write_array_header_1_0(header, array)
        return header.getvalue()


class JsonlOutput(Output):
    """A JSON object per line: id, vector and token counts; or id, a null vector and the error."""

    suffixes = (".jsonl", ".ndjson")

    def add(self, outcome: RecordOutcome) -> None:
        self.file.write(json_line({"id": outcome.record.id}, outcome).encode() + b"\n")


class ParquetOutput(Output):
    """Columns id, vector, token counts and error.

    Parquet cannot be appended to, so the partial file is an Arrow IPC stream, which `finish` converts.
    """

    suffixes = (".parquet", ".pq")
    append_only = False
    _ROWS_PER_BATCH = 1024
    _BATCHES_PER_ROW_GROUP = 16

    def __init__(self, file: Any, model: ModelInfo, id_type: type) -> None:
        super().__init__(file, model, id_type)
        self._arrow = pa = import_pyarrow()
        counts = zip(COUNTS, (pa.int64(), pa.int64(), pa.bool_()), strict=True)
        columns = [("id", pa.int64() if id_type is int else pa.string()), ("vector", pa.list_(pa.float32()))]
        metadata = {"paravec.model": f"{model.name} {model.version} {model.digest}"}
        self._schema = pa.schema([*columns, *counts, ("error", pa.string())], metadata)
        self._rows: list[tuple[Any, ...]] = []
        if not file.tell():
            file.write(self._schema.serialize())

    def add(self, outcome: RecordOutcome) -> None:
        id_value, embedding = outcome.record.id, outcome.embedding
        if id_value is not None and type(id_value) is not self.id_type:
            raise CommandError(f"ids must all be of one type for Parquet, not {self.id_type.__name__} and"
                               f" {type(id_value).__name__}; JSONL takes both", 1)  # fmt: skip
        cells = (embedding.vector, *(getattr(embedding, name) for name in COUNTS)) if embedding else (None,) * 4
        self._rows.append((id_value, *cells, outcome.problem))
        if len(self._rows) == self._ROWS_PER_BATCH:
            self._write_batch()

    def flush(self) -> int:
        if self._rows:
            self._write_batch()
        return super().flush()

    def finish(self, partial: Path, path: Path) -> None:
        self.flush()
        parquet = partial.with_name(partial.name + ".parquet")
        with (
            self._arrow.OSFile(str(partial)) as stream,
            self._arrow.parquet.ParquetWriter(parquet, self._schema) as writer,
        ):
            batches = iter(self._arrow.ipc.open_stream(stream))
            while group := list(islice(batches, self._BATCHES_PER_ROW_GROUP)):
                writer.write_table(self._arrow.Table.from_batches(group, self._schema))
        parquet.replace(path)
        partial.unlink()

    def _write_batch(self) -> None:
        columns = zip(zip(*self._rows, strict=True), self._schema.types, strict=True)
        arrays = [self._arrow.array(list(column), arrow_type) for column, arrow_type in columns]
        self.file.write(self._arrow.record_batch(arrays, schema=self._schema).serialize())
        self._rows = []


FORMATS: dict[str, type[Output]] = {"npy": NpyOutput, "jsonl": JsonlOutput, "parquet": ParquetOutput}
"""Output formats."""


def json_line(fields: dict[str, Any], outcome: RecordOutcome) -> str:
    """A JSON object of `fields` and the vector and token counts of a document, or its error."""
    embedding = outcome.embedding
    if embedding is None:
        return json.dumps(fields | {"vector": None, "error": outcome.problem})
    # numpy writes the fewest digits that give the same float32; json would write those of a float64.
    vector = ", ".join(embedding.vector.astype("U16").tolist())
    counts = json.dumps({name: getattr(embedding, name) for name in COUNTS})
    return f'{json.dumps(fields)[:-1]}, "vector": [{vector}], {counts[1:]}'
