"""What a user of Ray, Dask or pandas runs, in a virtual environment that has them; says what came of each row.

Arguments: the target, a .jsonl of texts, a .npy of the vectors that are expected. Prints "embedding" once rows come,
and then a line of JSON.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def with_ray(target: str, texts: list[str], expected: Any) -> dict[str, Any]:
    """Rows over worker processes of a local cluster, with one server after another failing meanwhile."""
    import ray

    from paravec_client import ClientConfig
    from paravec_client.batch import Embedder

    def mark(batch: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.05)
        return {**batch, "process": np.full(len(batch["row"]), os.getpid())}

    ray.init(num_cpus=3, include_dashboard=False, object_store_memory=2**27, logging_level="error")
    data = ray.data.from_items([{"row": i, "body": text} for i, text in enumerate(texts)], override_num_blocks=24)
    embedder = Embedder(ClientConfig(target), column="body", counts=True)
    made = data.map_batches(embedder, batch_size=10).map_batches(mark, batch_size=10)
    rows: list[dict[str, Any]] = []
    for row in made.iter_rows():
        if not rows:
            print("embedding", flush=True)
        rows.append(row)
    ray.shutdown()
    return {
        "rows": sorted(row["row"] for row in rows),
        "equal": all(np.array_equal(row["vector"], expected[row["row"]]) for row in rows),
        "processes": len({row["process"] for row in rows}),
        "counted": all(row["token_count"] >= row["known_token_count"] for row in rows),
    }


def with_dask(target: str, texts: list[str], expected: Any) -> dict[str, Any]:
    """Partitions over processes."""
    import dask.dataframe
    import pandas

    from paravec_client import ClientConfig
    from paravec_client.batch import Embedder

    table = pandas.DataFrame({"text": texts})
    frame = dask.dataframe.from_pandas(table, npartitions=6)
    embedder = Embedder(ClientConfig(target), counts=True)
    made = frame.map_partitions(embedder, meta=embedder.meta(frame)).compute(scheduler="processes", num_workers=2)
    spark = list(embedder.frames(iter([table[:5], table[5:9]])))
    return {
        "rows": list(made.index),
        "equal": bool(np.array_equal(np.stack(list(made["vector"])), expected)),
        "columns": list(made.columns),
        "as in Spark": bool(np.array_equal(np.stack(list(pandas.concat(spark)["vector"])), expected[:9])),
    }


def with_columns(target: str, texts: list[str], expected: Any) -> dict[str, bool]:
    """Columns of real tables, given to the client as they are."""
    import pandas
    import polars
    import pyarrow

    from paravec_client import EmbeddingClient

    columns = {
        "pandas": pandas.Series(texts),
        "polars": polars.Series(texts),
        "pyarrow": pyarrow.chunked_array([texts[:5], texts[5:]]),
    }
    with EmbeddingClient(target) as client:
        return {name: bool(np.array_equal(client.embed(column), expected)) for name, column in columns.items()}


def main() -> None:
    """All."""
    target, texts, expected = sys.argv[1], Path(sys.argv[2]).read_text().splitlines(), np.load(sys.argv[3])
    documents = [json.loads(line) for line in texts]
    found = {"ray": with_ray, "dask": with_dask, "columns": with_columns}
    print(json.dumps({name: run(target, documents, expected) for name, run in found.items()}))


if __name__ == "__main__":
    main()
