"""How benchmarks.quality writes its tables."""

from pathlib import Path

import pytest
from benchmarks.quality import PAGE, write_tables


def test_tables_are_written_between_their_marks(tmp_path: Path) -> None:
    """The page in docs has a place for each table; the rest of it stays."""
    root = Path(__file__).parents[2]
    page = tmp_path / "page.md"
    page.write_text((root / PAGE).read_text())
    write_tables(page, {name: f"| {name} |" for name in ("tools", "models", "speed")})
    once = page.read_text()
    assert all(f"<!-- table {name} -->\n\n| {name} |\n\n<!-- end -->" in once for name in ("tools", "models", "speed"))
    assert "## sgd and map beside gensim" in once
    write_tables(page, {"tools": "| tools |"})
    assert page.read_text() == once


def test_a_page_without_a_place_is_refused(tmp_path: Path) -> None:
    """A table is not lost in silence."""
    (tmp_path / "page.md").write_text("text\n")
    with pytest.raises(ValueError, match="not found"):
        write_tables(tmp_path / "page.md", {"tools": "| |"})
