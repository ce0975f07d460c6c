"""The examples of README and docs, as they stand there.

An example is a fenced block of Python or shell. A comment on the line before it may say how it runs:

    <!-- not run: WHY -->              it is shown only
    <!-- run by tests/x.py -->         another test runs it
    <!-- background -->                a server: it runs until the page's end
    <!-- file: NAME -->                the block is that file

A `console` block has commands after `$ ` and their output, in which `...` stands for anything.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

RUNNABLE = {"python", "sh", "console"}
"""Languages of blocks that run."""

SHOWN = {"go", "json", "text", "yaml"}
"""Languages of blocks that are only shown."""

_MARKER = re.compile(r"(not run): (.+)|(run by) (\S+)|(background)|(file): (\S+)")
_BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    code: str
    marker: str = ""
    """`not run`, `run by`, `background`, `file`; "" for a block that just runs."""
    about: str = ""
    """What stands after the marker."""


def pages() -> list[str]:
    """All pages with examples, from the repository's root."""
    return ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))
                           if path.parent.name != "generated")]  # fmt: skip


def blocks(page: str, language: str = "", after: str = "") -> Iterator[Block]:
    """The fenced blocks of a page: those of a language, and those below a heading, if these are given."""
    text = (ROOT / page).read_text()
    start = text.index(after) if after else 0
    for found in _BLOCK.finditer(text, start):
        if language in ("", found[2]):
            line = text.count("\n", 0, found.start(2)) + 1
            assert found[2] in RUNNABLE | SHOWN, f"{page}:{line}: {found[2]} neither runs nor is only shown"
            yield Block(page, line, found[2], found[3], *_marker(page, line, found[1]))


def _marker(page: str, line: int, comment: str | None) -> tuple[str, str]:
    if comment is None:
        return "", ""
    found = _MARKER.fullmatch(comment)
    assert found, f"{page}:{line}: no marker of examples: {comment}"
    kind, *about = [group for group in found.groups() if group]
    return kind, "".join(about)


def commands(page: str, program: str) -> list[str]:
    """The command lines of a page that begin with a program, each joined to one line."""
    code = "".join(block.code for block in blocks(page, "sh"))
    return [line for line in re.sub(r"\\\n +", "", code).splitlines() if line.startswith(f"{program} ")]


def run_in(place: Path, code: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program in a virtual environment that has what our client takes, beside the client itself."""
    paths = os.pathsep.join(str(ROOT / name) for name in ("client", "proto"))
    variables = os.environ | {"PYTHONPATH": paths, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    variables |= {"RAY_DISABLE_IMPORT_WARNING": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    variables |= {"PYSPARK_PYTHON": str(place / "bin/python")}
    command = [str(place / "bin/python"), "-c", code]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=400)


BATCH_PAGE = "docs/how-to/embed-with-ray-dask-spark.md"


def batch_program(engine: str, target: str, prelude: str = "") -> str:
    """The example for a batch engine: it reads corpus/ and writes vectors/, and prints if all is well.

    corpus/ gets an id and a body, some of each of two files; expected.npy has the vectors.
    """
    common, *rest = (block.code for block in blocks(BATCH_PAGE, "python"))
    (example,) = (code for code in rest if f"{engine}." in code)
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
