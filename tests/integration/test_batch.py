"""The batch engines: a real local cluster of Ray, and Dask, against three real servers, one of which is killed."""

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from paravec_client import ClientConfig, ConfigError, EmbeddingClient, InferenceOptions, InvalidArgumentError
from paravec_client.batch import COUNTS, Embedder
from paravec_model.artifact import Artifact

from ..environments import environment
from ..servers import Server, running

ROOT = Path(__file__).parents[2]
TEXTS = ["The fire in Sydney spread", "xyzzy", "fire"]


@pytest.fixture
def config(server: Server) -> ClientConfig:
    """The configuration of a client of `server`."""
    return ClientConfig(server.target)


def test_a_batch_gets_columns_of_vectors_and_counts(config: ClientConfig, client: EmbeddingClient) -> None:
    """The result has new columns beside the old ones, and the batch passed in is unchanged."""
    batch = {"id": np.arange(3), "body": np.array(TEXTS, object)}
    made = Embedder(config, column="body", output="v", counts=True)(batch)
    assert list(batch) == ["id", "body"]
    assert list(made) == ["id", "body", "v", *COUNTS]
    assert made["v"].dtype == np.float32
    np.testing.assert_array_equal(made["v"], client.embed(TEXTS))
    assert made["known_token_count"][1] == 0


def test_a_cell_may_be_an_array_of_tokens(config: ClientConfig, client: EmbeddingClient) -> None:
    """Cells of tokens, as Parquet gives them, are embedded with the given options."""
    options = InferenceOptions(normalize=True)
    cells = np.empty(2, object)
    cells[:] = [np.array(["fire", "sydney"], object), ["fire"]]
    made = Embedder(config, options=options)({"text": cells})
    np.testing.assert_array_equal(made["vector"], client.embed([["fire", "sydney"], ["fire"]], options))


def test_an_invalid_document_fails_the_batch_or_gets_a_null_vector(
    config: ClientConfig, client: EmbeddingClient
) -> None:
    """By default an invalid document raises; with errors="null" its vector is NaN and its error is in a column."""
    batch = {"text": np.array(["fire", None, "fire " * 3000], object)}
    with pytest.raises(InvalidArgumentError, match=r"^documents\[1\]"):
        Embedder(config)(batch)
    made = Embedder(config, errors="null", counts=True)(batch)
    np.testing.assert_array_equal(made["vector"][0], client.embed("fire"))
    assert np.isnan(made["vector"][1:]).all()
    assert made["error"][0] is None
    assert "3000 tokens" in made["error"][2]
    assert list(made["token_count"]) == [1, 0, 0]


def test_an_empty_or_all_invalid_batch_has_the_same_columns(config: ClientConfig, client: EmbeddingClient) -> None:
    """An empty batch and a batch of invalid documents have a vector column of the model's size."""
    assert Embedder(config)({"text": np.empty(0, object)})["vector"].shape == (0, client.model().vector_size)
    made = Embedder(config, errors="null")({"text": np.array([None], object)})
    assert made["vector"].shape == (1, client.model().vector_size)


def test_a_wrong_column_batch_or_option_is_named() -> None:
    """A missing column, a batch of another type and an unknown option are ConfigErrors before any call."""
    with pytest.raises(ConfigError, match="'body', only id, text"):
        Embedder(column="body")({"id": np.arange(1), "text": np.array(["a"])})
    with pytest.raises(ConfigError, match="not list"):
        Embedder()(["a"])
    with pytest.raises(ConfigError, match="errors"):
        Embedder(errors="ignore")  # type: ignore[arg-type]


@pytest.mark.slow
def test_ray_and_dask_get_every_row_once(artifact: Artifact, tmp_path: Path) -> None:
    """With several workers, and one of three servers killed in mid-run, every row comes once with its own vector."""
    place = environment("ray")
    texts = [f"fire number {i} in sydney {'australia ' * (i % 7)}" for i in range(480)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    with ExitStack() as stack:
        servers = [stack.enter_context(running(artifact.path, "--threads", "1")) for _ in range(3)]
        with EmbeddingClient(servers[0].target) as client:
            np.save(tmp_path / "expected.npy", client.embed(texts))
        target = "ipv4:" + ",".join(server.target for server in servers)
        files = (ROOT / "tests/ray_program.py", target, tmp_path / "texts.jsonl", tmp_path / "expected.npy")
        command = [str(place / "bin/python"), *map(str, files)]
        paths = os.pathsep.join(str(ROOT / name) for name in ("client", "proto"))
        variables = os.environ | {"PYTHONPATH": paths, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
        variables |= {"RAY_DISABLE_IMPORT_WARNING": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        with (
            (tmp_path / "said").open("w+") as said,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env=variables, text=True) as program,
        ):
            assert program.stdout
            made = {}
            for line in program.stdout:
                if line == "embedding\n":
                    servers[0].process.kill()
                elif line.startswith("{"):
                    made = json.loads(line)
            code = program.wait()
            said.seek(0)
            assert code == 0, said.read()
    for engine in ("ray", "dask"):
        assert made[engine]["rows"] == list(range(480)), engine
        assert made[engine]["equal"], engine
    assert made["ray"]["processes"] > 1
    assert made["ray"]["counted"]
    assert made["dask"]["columns"] == ["text", "vector", *COUNTS]
    assert made["dask"]["as in Spark"]
    assert made["columns"] == {"pandas": True, "polars": True, "pyarrow": True}
