"""The benchmark stays alive."""

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
    (row,) = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert all(row[way] > 0 for way in ("gensim", "single", "batch"))
    assert row["batch_ratio"][0] > 0
