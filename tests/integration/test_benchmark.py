"""Each benchmark runs in its short mode and writes its results."""

import json
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from benchmarks.environments import InstallError, install

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
    command = [sys.executable, str(ROOT / "benchmarks/serving.py"), "--short"]
    ran = subprocess.run([*command, "--json", str(tmp_path / "out.json")], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    services = json.loads((tmp_path / "out.json").read_text())["services"]
    assert [service["key"] for service in services] == ["empty", "paravec-map", "paravec-sgd"]
    assert all(service["calls_per_second"][0] > 0 < service["documents_per_second"][0] for service in services)


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


@pytest.mark.skipif(not shutil.which("h2load"), reason="no load generator: apt-get install nghttp2-client")
def test_the_scaling_benchmark_runs(tmp_path: Path) -> None:
    """Its short mode reports for each load the CPU and how full the server is, of each limit."""
    command = [sys.executable, str(ROOT / "benchmarks/scaling.py"), "--short", "--json", str(tmp_path / "out.json")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [(row["method"], row["documents"], row["share"]) for row in rows] == [("map", 1, 0.5), ("map", 1, 1.5)]
    for row in rows:
        assert row["sent"] > 0 < row["process_cpu_seconds_total"]
        assert all(row[name] >= 0 for name in ("calls_in_flight", "work_in_flight_seconds", "message_bytes_in_flight"))


def is_reported(caller: dict[str, Any]) -> bool:
    """Whether each of a client's calls is counted, and latencies are given if any was answered."""
    calls: int = caller["answered"] + sum(caller["failed"].values())
    return calls > 0 and bool(caller["longest"]) and (caller["p99"] is None) == (caller["answered"] == 0)


def test_the_growth_benchmark_runs(tmp_path: Path) -> None:
    """Its short mode measures along each size and draws a chart."""
    command = [sys.executable, str(ROOT / "benchmarks/growth.py"), "--short"]
    subprocess.run([*command, "--json", str(tmp_path / "out.json")], capture_output=True, text=True, check=True)
    figures = json.loads((tmp_path / "out.json").read_text())
    rows = figures["rows"]
    assert {row["along"] for row in rows} == set(figures["titles"])
    assert all(row["documents_per_second"][0] > 0 for row in rows)


@pytest.fixture(scope="module")
def charts() -> Path:
    """A Python that has matplotlib."""
    try:
        return install(ROOT / "requirements/charts.lock", ROOT / "build/charts") / "bin/python"
    except InstallError as error:
        pytest.skip(f"matplotlib {error}")


def test_charts_have_text_and_are_reproducible(charts: Path, tmp_path: Path) -> None:
    """An SVG has medians, ratios and what was measured as text, and the same bytes each time."""
    ours = {"key": "paravec-map", "name": "paravec, map", "times_flask": {"calls": 8.26, "documents": 91}}
    empty = {"key": "empty", "name": "empty gRPC handler", "times_flask": {}}
    rates = {"calls_per_second": [7300, 7200, 7100], "documents_per_second": [75000, 74000, 76000]}
    serving = {"heading": "one core <each>", "tokens": 20, "services": [ours | rates, empty | rates]}
    rows = [
        {"along": "epochs", "at": size, "method": "sgd", "documents_per_second": [1e6 / size]} for size in (5, 20, 1000)
    ]
    growth = {"heading": "one core", "titles": {"epochs": "epochs of sgd"}, "rows": rows}
    drawn = []
    for _ in range(2):
        for name, figures in {"serving": serving, "growth": growth}.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(figures))
        files = [tmp_path / "serving.json", tmp_path / "growth.json"]
        subprocess.run([charts, str(ROOT / "benchmarks/charts.py"), *map(str, files)], check=True)
        drawn.append([file.with_suffix(".svg").read_text() for file in files])
    assert drawn[0] == drawn[1]
    (bars, lines), _ = drawn
    assert all(f">{text}<" in bars for text in ("7,200 (8.3×)", "75,000 (91.0×)", "7,200", "one core &lt;each&gt;"))
    assert bars.count("empty gRPC handler") == 1
    assert all(f">{text}<" in lines for text in ("epochs of sgd", "1k", "sgd", "one core"))


def test_charts_of_another_results_file_are_one_clear_line(charts: Path) -> None:
    """A JSON file of another benchmark is one line that names the file."""
    command = [str(charts), str(ROOT / "benchmarks/charts.py"), "limits.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == "charts.py: limits.json is neither serving.json nor growth.json\n"
    assert done.returncode == 1


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


def test_the_stemming_benchmark_runs() -> None:
    """It measures each way to read words, once for new words and once for known ones."""
    command = [sys.executable, "-m", "benchmarks.stemming", "--corpus", "lee", "--stem", "english", "--rounds", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert [line.split("  ")[0] for line in ran.stdout.splitlines()[1:]] == [
        f"{way}, {when}" for way in ("words", "stop words", "stems", "stems, stop words") for when in ("first", "again")
    ] + ["stems, plain"]


def test_the_decoding_benchmark_runs(tmp_path: Path) -> None:
    """Its short mode measures how the client reads vectors beside protobuf."""
    command = [sys.executable, str(ROOT / "benchmarks/decoding.py"), "--short", "--json", str(tmp_path / "out.json")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "ratio" in ran.stdout
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [row["vector_size"] for row in rows] == [50, 100, 300]
    assert all(row["ratio"] > 0 for row in rows)
