"""Run promtool, which reads rules and queries as Prometheus does."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

needed = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not installed"
)


def promtool(folder: Path, *words: str, **files: Any) -> None:
    """Run promtool in a folder with these files of YAML; AssertionError with its output if it fails."""
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    done = subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
