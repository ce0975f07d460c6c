"""Each benchmark runs in its short mode and writes its results."""

import json
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from paravec_model.artifact import Artifact

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def test_the_inference_benchmark_runs(tmp_path: Path) -> None:
    """Its short mode measures gensim and both methods, prints a ratio and writes JSON."""
    command = [sys.executable, str(ROOT / "benchmarks/inference.py"), "--short", "--rounds", "1"]
    ran = subprocess.run([*command, "--json", str(tmp_path / "out.json")], capture_output=True, text=True, check=True)
    assert "DBOW, negative" in ran.stdout
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["sgd", "map"]
    for row in rows:
        assert all(row[way] > 0 for way in ("gensim", "single", "batch"))
        assert row["batch_ratio"][0] > 0


def test_the_delivery_benchmark_runs(tmp_path: Path) -> None:
    """It measures `cp` and two pods, and removes its files."""
    command = [sys.executable, str(ROOT / "benchmarks/delivery.py"), str(tmp_path), "--mib", "4", "--rounds", "1"]
    ran = subprocess.run([*command, "--json", str(tmp_path / "out.json")], capture_output=True, text=True, check=True)
    assert "second pod" in ran.stdout
    assert all(seconds for seconds in json.loads((tmp_path / "out.json").read_text()).values())
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.skipif(not shutil.which("h2load"), reason="no load generator: apt-get install nghttp2-client")
def test_the_serving_benchmark_runs(tmp_path: Path) -> None:
    """Its short mode measures the server with both methods beside an empty handler, and draws a chart."""
    command = [sys.executable, str(ROOT / "benchmarks/serving.py"), "--short", "--charts", str(tmp_path)]
    ran = subprocess.run([*command, "--json", str(tmp_path / "out.json")], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    services = json.loads((tmp_path / "out.json").read_text())["services"]
    assert [service["key"] for service in services] == ["empty", "paravec-map", "paravec-sgd"]
    assert all(service["calls_per_second"][0] > 0 < service["documents_per_second"][0] for service in services)
    assert "paravec, map" in (tmp_path / "serving.svg").read_text()


@pytest.mark.skipif(not shutil.which("h2load"), reason="no load generator: apt-get install nghttp2-client")
def test_the_overload_benchmark_runs(tmp_path: Path) -> None:
    """Its short mode reports both servers under each load, and modest clients beside greedy ones."""
    command = [sys.executable, str(ROOT / "benchmarks/overload.py"), "--short", "--json", str(tmp_path / "out.json")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    figures = json.loads((tmp_path / "out.json").read_text())
    servers, documents, loads = ("paravec-map", "stock-map"), (1, 64), ("2x", "10x", "closed")
    told = [(row["server"], row["documents"], row["load"]) for row in figures["loads"]]
    assert told == list(product(servers, documents, loads))
    for row in figures["loads"]:
        assert row["peak"] > 0 < row["sent"]
        assert row["kept"] >= 0 < row["memory"]
        assert all(is_reported(row[caller]) for caller in ("probes", "modest"))
        assert f"{row['server']:12} {row['documents']:9} {row['load']:>6}" in ran.stdout
    assert [row["server"] for row in figures["fairness"]] == list(servers)
    for row in figures["fairness"]:
        assert row["of_alone"] > 0
        assert all(is_reported(row[caller]) for caller in ("single", "some"))


def is_reported(caller: dict[str, Any]) -> bool:
    """Whether each of a client's calls is counted, and latencies are given if any was answered."""
    calls: int = caller["answered"] + sum(caller["failed"].values())
    return calls > 0 and bool(caller["longest"]) and (caller["p99"] is None) == (caller["answered"] == 0)


def test_the_growth_benchmark_runs(tmp_path: Path) -> None:
    """Its short mode measures along each size and draws a chart."""
    command = [sys.executable, str(ROOT / "benchmarks/growth.py"), "--short", "--charts", str(tmp_path)]
    subprocess.run([*command, "--json", str(tmp_path / "out.json")], capture_output=True, text=True, check=True)
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert {row["along"] for row in rows} == {"tokens", "vector_size", "epochs", "vocabulary", "batch", "workers"}
    assert all(row["documents_per_second"][0] > 0 for row in rows)
    assert "words of the model" in (tmp_path / "growth.svg").read_text()


def test_the_limits_benchmark_runs(tmp_path: Path) -> None:
    """It measures each kernel beside the machine's peak."""
    command = [sys.executable, str(ROOT / "benchmarks/limits.py"), "--short", "--json", str(tmp_path / "out.json")]
    subprocess.run(command, capture_output=True, text=True, check=True)
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert all(row["of_peak"] > 0 for row in rows)


def test_the_stops_benchmark_runs(artifact: Artifact, tmp_path: Path) -> None:
    """It measures how long each kind of work goes on after its caller has left."""
    command = [sys.executable, str(ROOT / "benchmarks/stops.py"), "--short", "--json", str(tmp_path / "out.json")]
    command += ["--model", str(artifact.path)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert len(rows) == 7
    assert all(0 <= row["median"] <= row["longest"] < 10 for row in rows)


def test_the_similar_documents_benchmark_runs(tmp_path: Path) -> None:
    """Its short mode measures paravec, gensim and numpy, and memory that stays flat."""
    command = [sys.executable, str(ROOT / "benchmarks/similar.py"), "--short", "--json", str(tmp_path / "out.json")]
    subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads((tmp_path / "out.json").read_text())
    assert [row["queries"] for row in figures["rows"]] == [1, 16, 256]
    assert all(row[way] > 0 for row in figures["rows"] for way in ("paravec", "gensim", "numpy"))
    assert figures["memory"]["many_queries_mib"] < 64


def test_the_decoding_benchmark_runs(tmp_path: Path) -> None:
    """Its short mode measures how the client reads vectors beside protobuf."""
    command = [sys.executable, str(ROOT / "benchmarks/decoding.py"), "--short", "--json", str(tmp_path / "out.json")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "ratio" in ran.stdout
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [row["vector_size"] for row in rows] == [50, 100, 300]
    assert all(row["ratio"] > 0 for row in rows)
