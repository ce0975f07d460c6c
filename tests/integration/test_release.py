"""Releases: distributions, notes and workflows."""

import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml
from release.notes import notes

from paravec_model import __version__

ROOT = Path(__file__).parents[2]
RUNS = re.compile(r'sudo env "PATH=\$PATH" CI=true \.ci/run|make ([a-z-]+)( [A-Z_]+=.*)?')
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a make target."""
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `make dist`, with the one wheel that needs no compiler."""
    folder = tmp_path_factory.mktemp("dist")
    done = make("dist", "PLATFORMS=any", f"DIST={folder}", f"TAG=v{__version__}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_a_release_has_wheels_and_a_source_distribution(dist: Path) -> None:
    """The source distribution has what it takes to build, test and understand."""
    assert {path.name for path in dist.iterdir()} == {
        f"paravec-{__version__}-py3-none-any.whl",
        f"paravec-{__version__}.tar.gz",
    }
    with tarfile.open(dist / f"paravec-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"hatch_build.py", "LICENSE", "model/paravec_model/kernels/kernels.h", "tests/conftest.py"} <= names


@pytest.mark.slow
@pytest.mark.parametrize("target", ["dist", "server-image", "release"])
def test_a_tag_other_than_the_version_is_refused(target: str, tmp_path: Path) -> None:
    """Each release target fails before any work, with the tag and the version."""
    done = make(target, "TAG=v9.9.9", f"DIST={tmp_path}", "BUILDER=false")
    assert done.returncode != 0
    assert f"TAG is v9.9.9, but the version is {__version__}\n" in done.stderr
    assert not any(tmp_path.iterdir())


def test_release_notes_are_a_section_of_the_changelog() -> None:
    """The notes are the section of the release's version, without the others."""
    changelog = (
        "# Changelog\n\n## [Unreleased]\n\n- new\n\n## [0.2.0] - 2026-01-01\n\n### Added\n\n- b\n\n## [0.1.0]\n\n- a\n"
    )
    assert notes(changelog, "0.2.0") == "### Added\n\n- b\n"
    assert notes(changelog, "0.1.0") == "- a\n"
    with pytest.raises(SystemExit, match=r"has no section \[0.2\]"):
        notes(changelog, "0.2")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_make_and_nothing_else(path: Path) -> None:
    """So that what they do can be done here; each action is pinned by commit, and each target is in the Makefile."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        for step in job.get("steps", []):
            if "run" in step:
                command = re.fullmatch(
                    r'sudo env "PATH=\$PATH" CI=true \.ci/run|make ([a-z-]+)( [A-Z_]+=.*)?', step["run"]
                )
                assert command, step["run"]
                assert not command[1] or command[1] in targets
            else:
                assert re.search(r"@[0-9a-f]{40}$", step["uses"]), step["uses"]


def test_pre_commit_hooks_run_make() -> None:
    """Each pre-commit hook runs `make format` or `make lint` with the tools of .venv."""
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"
    assert {hook["entry"] for hook in repo["hooks"]} == {"make format", "make lint"}
