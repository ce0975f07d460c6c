"""What CHANGELOG.md says of a version: python -m release.notes v0.1.0."""

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def notes(changelog: str, version: str) -> str:
    """The section of a version, without its heading; SystemExit if there is none."""
    found = re.search(rf"^## \[{re.escape(version)}\].*\n([\s\S]*?)(?=^## |^\[.*\]: |\Z)", changelog, re.MULTILINE)
    if not found:
        raise SystemExit(f"CHANGELOG.md has no section [{version}]")
    return found[1].strip() + "\n"


if __name__ == "__main__":
    print(notes(CHANGELOG.read_text(), sys.argv[1].removeprefix("v")), end="")
