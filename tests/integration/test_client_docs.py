"""A user's program passes strict type checkers."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests/typed_program.py"


@pytest.mark.slow
def test_a_users_program_passes_strict_type_checkers(tmp_path: Path) -> None:
    """mypy and basedpyright in their strict modes find nothing in a user's program, and it runs."""
    subprocess.run([sys.executable, "-m", "tests.typed_program"], cwd=ROOT, check=True, capture_output=True)
    missing = [name for name in ("mypy", "basedpyright") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "--config-file", "/dev/null"]
    # As a user's mypy, which finds the client installed and looks into it no further than its types.
    ran = subprocess.run([*mypy, "--follow-imports=silent", str(PROGRAM)], capture_output=True, text=True, check=False,
                         cwd=tmp_path, env={"MYPYPATH": f"{ROOT}/client:{ROOT}/proto", "PATH": ""})  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    settings = {
        "include": [str(PROGRAM)],
        "extraPaths": [str(ROOT / "client"), str(ROOT / "proto")],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--project", str(tmp_path), "--pythonpath", sys.executable]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
