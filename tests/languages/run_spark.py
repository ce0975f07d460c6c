"""The example of docs/how-to/embed-with-ray-dask-spark.md for Spark, with a real Spark: `make languages-test`."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from benchmarks.environments import InstallError, install

from paravec_client import EmbeddingClient

from ..pages import ROOT, batch_program, run_in
from ..servers import Server

PRELUDE = """
from pyspark.sql import SparkSession

local = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
spark = SparkSession.builder.master("local[2]").config(map=local).getOrCreate()
"""


def test_spark_writes_the_vectors(server: Server, client: EmbeddingClient, tmp_path: Path) -> None:
    """Every row comes once, with its own vector and counts."""
    if not shutil.which("java"):
        pytest.skip("no Java: apt-get install openjdk-17-jre-headless")
    try:
        place = install(ROOT / "requirements/spark.lock", ROOT / "build/spark", "pyspark")
    except InstallError as error:
        pytest.skip(f"Spark {error}")
    texts = [f"fire number {i} in sydney {'australia ' * (i % 7)}" for i in range(200)]
    (tmp_path / "texts.txt").write_text("".join(text + "\n" for text in texts))
    np.save(tmp_path / "expected.npy", client.embed(texts))
    ran = run_in(place, batch_program("spark", server.target, PRELUDE), tmp_path)
    assert ran.stdout.endswith("all is well\n"), ran.stderr
