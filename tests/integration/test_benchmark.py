"""The benchmarks stay alive."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_runs(tmp_path: Path) -> None:
    """Its short mode measures both sides, prints a ratio and writes JSON."""
    command = [sys.executable, str(ROOT / "benchmarks/inference.py"), "--short", "--rounds", "1"]
    ran = subprocess.run([*command, "--json", str(tmp_path / "out.json")], capture_output=True, text=True, check=True)
    assert "DBOW, negative" in ran.stdout
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["sgd", "map"]
    for row in rows:
        assert all(row[way] > 0 for way in ("gensim", "single", "batch"))
        assert row["batch_ratio"][0] > 0


def test_the_benchmark_of_delivery_runs(tmp_path: Path) -> None:
    """It measures cp and both pods, and takes its files away."""
    command = [sys.executable, str(ROOT / "benchmarks/delivery.py"), str(tmp_path), "--mib", "4", "--rounds", "1"]
    ran = subprocess.run([*command, "--json", str(tmp_path / "out.json")], capture_output=True, text=True, check=True)
    assert "second pod" in ran.stdout
    assert all(seconds for seconds in json.loads((tmp_path / "out.json").read_text()).values())
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]
