"""The Python of docs/client.md runs, and a user's program passes strict type checkers."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

from paravec_client import EmbeddingClient
from paravec_client.testing import fake_server

from ..servers import Server

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests/typed_program.py"


def test_the_python_examples_of_the_docs_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python blocks of docs/client.md run in order against a live server."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "client.crt")
    issued.private_key_pem.write_to_path(tmp_path / "client.key")
    (tmp_path / "token").write_text("a-token\n")
    (tmp_path / "texts.txt").write_text("fire in sydney\ncricket\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARAVEC_TARGET", server.target)
    page = (ROOT / "docs/client.md").read_text().partition("## Python")[2].partition("\n## Shell")[0]
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    for block in blocks:
        # A client that an example makes and does not close serves the examples after it.
        exec(block.replace("localhost:50051", server.target), names)  # noqa: S102  our own page
        if isinstance(names.get("client"), EmbeddingClient) and names["client"]._runner.closed:
            names["client"] = EmbeddingClient(server.target)
    with fake_server() as fake:
        names["test_mine"](fake)
    assert len(blocks) == 9
    assert "documents[1]\n" in capsys.readouterr().out


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
