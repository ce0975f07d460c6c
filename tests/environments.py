"""Virtual environments for programs whose packages are not ours, made once from their locks below build/."""

from pathlib import Path

import pytest
from benchmarks.environments import InstallError, install

ROOT = Path(__file__).parents[1]


def environment(name: str) -> Path:
    """The environment of requirements/NAME.lock; where it cannot be installed, the test is skipped with the reason."""
    try:
        return install(ROOT / f"requirements/{name}.lock", ROOT / f"build/{name}")
    except InstallError as error:
        pytest.skip(f"{name}.lock {error}")
