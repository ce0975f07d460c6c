"""Vectors as .npy, JSONL or Parquet, appended record by record, so that what was interrupted can be continued."""

import io
import json
from abc import ABC, abstractmethod
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ... import ModelInfo
from ...batch import COUNTS
from ..problems import CommandError
from .outcomes import Outcome
from .parquet import import_pyarrow


class Output(ABC):
    """Appends records to a file, which after `settle` holds whole records only, and can be continued from there."""

    suffixes: tuple[str, ...]
    """Suffixes of files of this format."""
    has_ids = True
    """Whether a record says which document it is of; if not, none may be left out."""

    appends = True
    """Whether nothing is changed that is written: it may be compressed, or go to standard output."""

    def __init__(self, file: Any, model: ModelInfo, id_type: type) -> None:
        """`file`, of bytes, is at its end; `id_type`: str or int."""
        self.file, self.model, self.id_type = file, model, id_type

    @abstractmethod
    def add(self, outcome: Outcome) -> None:
        """Append what became of a document."""

    def settle(self) -> int:
        """Have all that was added in the file; its length."""
        self.file.flush()
        return int(self.file.tell())

    def finish(self, partial: Path, path: Path) -> None:
        """All is added: make the file, which is at `partial`, into the whole at `path`."""
        self.settle()
        partial.replace(path)


class NpyOutput(Output):
    """float32 of shape (n, vector_size); NaN for a document without a vector."""

    suffixes = (".npy",)
    has_ids = False
    appends = False

    def __init__(self, file: Any, model: ModelInfo, id_type: type) -> None:
        super().__init__(file, model, id_type)
        self._missing = np.full(model.vector_size, np.nan, "<f4").tobytes()
        if not file.tell():
            file.write(self._header(0))

    def add(self, outcome: Outcome) -> None:
        made = outcome.embedding
        self.file.write(made.vector.astype("<f4", copy=False).tobytes() if made else self._missing)

    def finish(self, partial: Path, path: Path) -> None:
        rows = (self.settle() - len(self._header(0))) // len(self._missing)
        # numpy leaves room in a header for any number of rows.
        self.file.seek(0)
        self.file.write(self._header(rows))
        super().finish(partial, path)

    def _header(self, rows: int) -> bytes:
        header = io.BytesIO()
        facts = {"descr": "<f4", "fortran_order": False, "shape": (rows, self.model.vector_size)}
        np.lib.format.write_array_header_1_0(header, facts)
        return header.getvalue()


class JsonlOutput(Output):
    """A JSON object a line: id, vector, counts; where the vector is null, the error."""

    suffixes = (".jsonl", ".ndjson")

    def add(self, outcome: Outcome) -> None:
        self.file.write(json_line({"id": outcome.record.id}, outcome).encode() + b"\n")


class ParquetOutput(Output):
    """Columns id, vector, counts, error. Parquet cannot be appended to: until all is there, it is a stream of Arrow."""

    suffixes = (".parquet", ".pq")
    appends = False
    _ROWS_OF_BATCH = 1024
    _BATCHES_OF_GROUP = 16

    def __init__(self, file: Any, model: ModelInfo, id_type: type) -> None:
        super().__init__(file, model, id_type)
        self._arrow = pa = import_pyarrow()
        counts = zip(COUNTS, (pa.int64(), pa.int64(), pa.bool_()), strict=True)
        columns = [("id", pa.int64() if id_type is int else pa.string()), ("vector", pa.list_(pa.float32()))]
        about = {"paravec.model": f"{model.name} {model.version} {model.digest}"}
        self._schema = pa.schema([*columns, *counts, ("error", pa.string())], about)
        self._rows: list[tuple[Any, ...]] = []
        if not file.tell():
            file.write(self._schema.serialize())

    def add(self, outcome: Outcome) -> None:
        called, embedding = outcome.record.id, outcome.embedding
        if called is not None and type(called) is not self.id_type:
            raise CommandError(f"ids must all be of one kind for Parquet, not {self.id_type.__name__} and"
                               f" {type(called).__name__}; JSONL takes both", 1)  # fmt: skip
        made = (embedding.vector, *(getattr(embedding, name) for name in COUNTS)) if embedding else (None,) * 4
        self._rows.append((called, *made, outcome.problem))
        if len(self._rows) == self._ROWS_OF_BATCH:
            self._write()

    def settle(self) -> int:
        if self._rows:
            self._write()
        return super().settle()

    def finish(self, partial: Path, path: Path) -> None:
        self.settle()
        whole = partial.with_name(partial.name + ".whole")
        with (
            self._arrow.OSFile(str(partial)) as stream,
            self._arrow.parquet.ParquetWriter(whole, self._schema) as writer,
        ):
            batches = iter(self._arrow.ipc.open_stream(stream))
            while group := list(islice(batches, self._BATCHES_OF_GROUP)):
                writer.write_table(self._arrow.Table.from_batches(group, self._schema))
        whole.replace(path)
        partial.unlink()

    def _write(self) -> None:
        columns = zip(zip(*self._rows, strict=True), self._schema.types, strict=True)
        arrays = [self._arrow.array(list(column), kind) for column, kind in columns]
        self.file.write(self._arrow.record_batch(arrays, schema=self._schema).serialize())
        self._rows = []


FORMATS: dict[str, type[Output]] = {"npy": NpyOutput, "jsonl": JsonlOutput, "parquet": ParquetOutput}
"""What can be written."""


def json_line(facts: dict[str, Any], outcome: Outcome) -> str:
    """A JSON object of `facts` and what became of a document."""
    embedding = outcome.embedding
    if embedding is None:
        return json.dumps(facts | {"vector": None, "error": outcome.problem})
    # numpy's shortest digits that give the same float32; json would write those of the float64.
    vector = ", ".join(embedding.vector.astype("U16").tolist())
    counts = json.dumps({name: getattr(embedding, name) for name in COUNTS})
    return f'{json.dumps(facts)[:-1]}, "vector": [{vector}], {counts[1:]}'
