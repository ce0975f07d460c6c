"""The examples of README and docs, as they stand there."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str, after: str = "") -> list[str]:
    """The fenced blocks of a language in a page, those after a heading if that is named."""
    text = (ROOT / page).read_text()
    assert after in text, f"{page} has no {after}"
    text = text.partition(after)[2] if after else text
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(page: str, program: str, after: str = "", before: str = "\n## ") -> list[str]:
    """The indented command lines of a page that use a program, from a heading to the next."""
    text = (ROOT / page).read_text()
    assert after in text, f"{page} has no {after}"
    part = text.partition(after)[2].partition(before)[0] if after else text
    joined = re.sub(r"\\\n +", "", part)
    lines = [line.strip() for line in joined.splitlines() if line.startswith("    ")]
    return [line for line in lines if re.search(rf"(^|[ (|]){program} ", line)]


def run_in(place: Path, code: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program in a virtual environment that has what our client takes, beside the client itself."""
    paths = os.pathsep.join(str(ROOT / name) for name in ("client", "proto"))
    variables = os.environ | {"PYTHONPATH": paths, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    variables |= {"RAY_DISABLE_IMPORT_WARNING": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    variables |= {"PYSPARK_PYTHON": str(place / "bin/python")}
    command = [str(place / "bin/python"), "-c", code]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=400)


def batch_program(engine: str, target: str, prelude: str = "") -> str:
    """The example of docs/batch.md for a batch engine: it reads corpus/ and writes vectors/, and prints if all is well.

    corpus/ gets an id and a body, some of each of two files; expected.npy has the vectors.
    """
    common, *rest = blocks("docs/batch.md", "python")
    (example,) = (block for block in rest if f"{engine}." in block)
    code = common + prelude + CORPUS + example + CHECK
    return code.replace("dns:///paravec-server:50051", target)


CORPUS = """
import os
import pyarrow
import pyarrow.parquet
import numpy

texts = open("texts.txt").read().splitlines()
os.mkdir("corpus")
for part in (0, 1):
    ids = list(range(part, len(texts), 2))
    table = pyarrow.table({"id": ids, "body": [texts[i] for i in ids]})
    pyarrow.parquet.write_table(table, f"corpus/{part}.parquet")
"""

CHECK = """
made = pyarrow.parquet.read_table("vectors").sort_by("id").to_pydict()
assert made["id"] == list(range(len(texts))), made["id"]
assert numpy.array_equal(numpy.array(made["vector"], numpy.float32), numpy.load("expected.npy"))
assert all(known <= count for known, count in zip(made["known_token_count"], made["token_count"]))
print("all is well")
"""
