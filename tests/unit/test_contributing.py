"""What CONTRIBUTING.md and SECURITY.md speak of is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MADE = {".venv", "build", "dist"}

PAGES = pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])


def words(page: str) -> set[str]:
    """What stands in backticks, word by word."""
    quoted = re.findall(r"`([^`\n]+)`", (ROOT / page).read_text())
    return {word.rstrip(":") for span in quoted for word in span.split()}


@PAGES
def test_each_path_is_there(page: str) -> None:
    """Whole, from the root, or as the end of one, as in `services/embedding.py`."""
    tops = [top for top in ROOT.iterdir() if top.name not in (*MADE, ".git")]
    known = {f"/{file.relative_to(ROOT)}" for top in tops for file in (top, *top.rglob("*"))}
    paths = {word.rstrip("/") for word in words(page) if re.fullmatch(r"[\w./-]+(/|\.\w+)", word)}
    paths = {path for path in paths if path.partition("/")[0] not in MADE}
    assert [path for path in paths if not any(file.endswith(f"/{path}") for file in known)] == []


@PAGES
def test_each_link_leads_somewhere(page: str) -> None:
    """To a file of the repository."""
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_each_test_and_target_is_there() -> None:
    """A recipe that names them was right once."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    tests = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("*.py"))
    named = {word for word in words("CONTRIBUTING.md") if word.startswith("test_")}
    assert len(named) > 5
    assert [name for name in named if f"def {name}(" not in tests] == []
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"(?:`|^    )make ([a-z -]+)", text, re.MULTILINE):
        assert [target for target in command.split() if f"\n{target}: " not in makefile] == []
