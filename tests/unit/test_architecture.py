"""The house rules that code can check."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import paravec_client

ROOT = Path(__file__).parents[2]

PACKAGES = {
    "paravec": ROOT / "proto/paravec",
    "paravec_model": ROOT / "model/paravec_model",
    "paravec_client": ROOT / "client/paravec_client",
    "paravec_server": ROOT / "server/paravec_server",
}

GOOGLE = {"google.protobuf", "google.rpc"}
ALLOWED = {
    "paravec": GOOGLE | {"grpc"},
    "paravec_model": {"numpy"},
    "paravec_client": GOOGLE | {"paravec", "grpc", "numpy"},
    "paravec_server": GOOGLE
    | {"paravec", "paravec_model", "grpc", "grpc_health", "grpc_reflection", "prometheus_client"},
}

# The exceptions: what trains may import gensim, and one module of the server joins wire and model.
ALSO = {
    "paravec_client/completion.py": {"shtab"},
    "paravec_client/compression.py": {"backports", "compression"},
    "paravec_client/parquet.py": {"pyarrow"},
    "paravec_client/progress.py": {"tqdm"},
    "paravec_model/training.py": {"gensim", "tqdm"},
    "paravec_server/tracing.py": {"opentelemetry"},
    "paravec_client/testing.py": {"pytest"},
}


def imports(file: Path) -> Iterator[str]:
    """The modules outside the standard library that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            # `from google import rpc` is an import of google.rpc.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top = ".".join(name.split(".")[: 2 if name.startswith("google.") else 1])
            if top not in sys.stdlib_module_names:
                yield top


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package: str) -> None:
    """A package imports only what the architecture lets it."""
    for file in sorted(PACKAGES[package].rglob("*.py")):
        allowed = ALLOWED[package] | {package} | ALSO.get(f"{package}/{file.name}", set())
        assert set(imports(file)) <= allowed, file


def test_messages_and_model_meet_in_two_modules_per_contract() -> None:
    """For each contract one module converts messages and one is the service; neither computes."""
    both = set()
    for file in PACKAGES["paravec_server"].glob("*.py"):
        found = set(imports(file))
        assert "numpy" not in found, file
        if found >= {"paravec", "paravec_model"}:
            both.add(file.name)
    assert both == {"wire.py", "service.py", "tensors.py", "open_inference.py"}


def test_a_served_process_needs_neither_gensim_nor_scipy() -> None:
    """What only training needs is not needed to serve."""
    code = (
        "import sys; sys.modules |= dict.fromkeys(('gensim', 'scipy', 'smart_open', 'tqdm'));"
        "import paravec_server.app, paravec_server.cli, paravec_model.encoder"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_client_needs_neither_server_nor_model() -> None:
    """A program that uses the client loads none of the rest."""
    code = (
        "import sys, paravec_client;"
        "sys.exit(any(m.split('.')[0] in ('paravec_server', 'paravec_model') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_clients_public_names_are_its_all() -> None:
    """Every public name of the client is in __all__, in order, and exists."""
    public = {n for n in vars(paravec_client) if not n.startswith("_")} - {
        "aio", "batch", "calls", "client", "config", "connection", "core", "decode", "errors", "forks", "health",
        "policy", "proxy", "security", "stream", "target", "testing", "types", "wire", "cli",
    }  # fmt: skip
    assert sorted(public) == sorted(paravec_client.__all__) == paravec_client.__all__


def tracked() -> list[Path]:
    """The files of the repository; those of the folder if it is no checkout."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_registry_or_a_machines_path() -> None:
    """Locks and settings hold wherever packages come from."""
    forbidden = re.compile(
        r"--(extra-)?index" + r"-url\b|files\.python" + r"hosted|pypi\." + r"org|(?<![\w./])/ro" + r"ot/"
    )
    for file in tracked():
        found = forbidden.search(file.read_text(errors="ignore"))
        assert not found, f"{file}: {found and found[0]}"


def test_only_one_module_uses_grpcios_internals() -> None:
    """grpcio's private names, which may change, are used in one module that has a fallback."""
    inside = re.compile(r"\bgrpc\._(?!_|utilities)|from grpc import _")
    files = [file for root in PACKAGES.values() for file in root.rglob("*.py") if inside.search(file.read_text())]
    assert [file.name for file in files] == ["core.py"]
