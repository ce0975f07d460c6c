"""The architecture: which package may import which, as the table in docs/explanation/architecture.md says."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import paravec_client

ROOT = Path(__file__).parents[2]

PACKAGES = {
    "paravec": ROOT / "proto/paravec",
    "paravec_model": ROOT / "model/paravec_model",
    "paravec_client": ROOT / "client/paravec_client",
    "paravec_server": ROOT / "server/paravec_server",
}

TABLE = ROOT / "docs/explanation/architecture.md"


@cache
def modules() -> dict[str, Path]:
    """All modules of our packages at any depth, by dotted name; a package is the module of its __init__.py."""
    found = {}
    for package, folder in PACKAGES.items():
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = file
    return found


def imports(name: str) -> Iterator[str]:
    """The modules that a module imports, anywhere in it: ours by their full name, others by the name of their package.

    `from . import x` imports module x if there is one, else the package.
    """
    file = modules()[name]
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join((*base, *filter(None, [node.module])))
            targets = [f"{origin}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            parent = target.rpartition(".")[0]
            if target in modules() or parent in modules():
                yield target if target in modules() else parent
            elif (top := target.split(".")[0]) not in sys.stdlib_module_names and top not in PACKAGES:
                # Google's two packages are one namespace.
                yield ".".join(target.split(".")[:2]) if top == "google" else top


def room(name: str) -> str:
    """The package or module right below one of our distributions' packages, which is what the table lists."""
    return ".".join(name.split(".")[:2]) if name.split(".")[0] != "paravec" else "paravec"


def arrows() -> dict[str, set[str]]:
    """What each room imports from outside itself. The package's own __init__ is a room, under the package's name."""
    found: dict[str, set[str]] = {}
    for name in modules():
        here = found.setdefault(room(name), set())
        here |= {room(target) if target in modules() else target for target in imports(name)} - {room(name)}
    return found


def table() -> dict[str, set[str]]:
    """The arrows that the page allows: rows of | `package` | what it is for | `imports`, ... |."""
    rows = re.findall(r"^\| `([\w.]+)` \|[^|]*\|([^|]*)\|$", TABLE.read_text(), re.MULTILINE)
    allowed = {}
    for package, cell in rows:
        top = package.split(".")[0]
        allowed[package] = {top + name if name.startswith(".") else name for name in re.findall(r"`([\w.]+)`", cell)}
    return allowed


def test_packages_import_what_the_table_says() -> None:
    """The table in docs/explanation/architecture.md has every arrow of the code, and no other."""
    assert arrows() == table()


def test_imports_run_one_way() -> None:
    """Neither packages nor modules import in a circle."""
    tuple(TopologicalSorter(arrows()).static_order())
    tuple(TopologicalSorter({name: set(imports(name)) - {name} for name in modules()}).static_order())


def test_messages_and_model_meet_in_few_modules_per_contract() -> None:
    """For each contract one module converts messages and one is the service, or one is both; none computes. Vectors of
    paravec.v1 are written by a module of their own."""
    both = {
        name.removeprefix("paravec_server.services.")
        for name in modules()
        if name.startswith("paravec_server.")
        if {"paravec", "paravec_model"}
        <= {target.split(".")[0] for target in imports(name) if target != "paravec_model"}
    }
    assert both == {"embedding", "messages", "wire_format", "open_inference", "tensors", "openai"}


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
        "aio", "batch", "cli", "client", "config", "errors", "integrations", "testing", "types",
    }  # fmt: skip
    assert sorted(public) == sorted(paravec_client.__all__) == paravec_client.__all__


def tracked() -> list[Path]:
    """The files of the repository; those of the folder if it is no checkout."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_test_files_named_in_pages_exist() -> None:
    """Every test file that README or a page of docs names exists, or is an example of that page."""
    existing = {file.name for file in (ROOT / "tests").rglob("*.py")}
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text()
        own = set(re.findall(r"^<!-- file: (\S+) -->$", text, re.MULTILINE))
        for name in re.findall(r"\btest_\w+\.py\b", text):
            assert name in existing | own, f"{page.name} names {name}"


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
    assert [name for name, file in modules().items() if inside.search(file.read_text())] == [
        "paravec_server.rpc.fast_path.completion_queue"
    ]
