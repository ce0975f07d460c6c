"""What a tag releases, as far as it can be made here."""

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from release.notes import notes
from release.sbom import locked

from paravec_model import __version__

ROOT = Path(__file__).parents[2]
RUNS = re.compile(r'sudo env "PATH=\$PATH" CI=true \.ci/run|make ([a-z-]+)( [A-Z_]+=.*)?')
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What a target says."""
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` makes; of the wheels only the one that needs no compiler."""
    folder = tmp_path_factory.mktemp("dist")
    done = make("dist", "PLATFORMS=any", f"DIST={folder}", f"TAG=v{__version__}")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_release_has_wheels_a_source_distribution_and_an_sbom(dist: Path) -> None:
    """The source distribution has what it takes to build, test and understand."""
    assert {path.name for path in dist.iterdir()} == {
        f"paravec-{__version__}-py3-none-any.whl",
        f"paravec-{__version__}.tar.gz",
        f"paravec-server-{__version__}.cdx.json",
    }
    with tarfile.open(dist / f"paravec-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"hatch_build.py", "LICENSE", "model/paravec_model/kernels/kernels.h", "tests/conftest.py"} <= names


def test_the_sbom_is_cyclonedx_and_has_all_that_the_image_installs(dist: Path) -> None:
    """It holds to the format's own schema; of a package with two versions it has the one for the image's Python."""
    text = (dist / f"paravec-server-{__version__}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert bill["metadata"]["component"]["purl"] == f"pkg:pypi/paravec@{__version__}"
    lock = (ROOT / "requirements/server.lock").read_text()
    names = [component["name"] for component in bill["components"]]
    assert sorted(names) == sorted(set(re.findall(r"^([\w-]+)==", lock, re.MULTILINE)))


def test_a_lock_is_read_for_one_python() -> None:
    """Markers say which version it installs."""
    lock = """a-b==1.0 ; python_full_version < '3.12' \\
    --hash=sha256:0
a-b==2.0 ; python_full_version >= '3.12' \\
    --hash=sha256:1
c==3 ; sys_platform == 'win32' \\
    --hash=sha256:2
d==0.1b2
"""
    assert list(locked(lock, "3.13")) == [("a-b", "2.0"), ("d", "0.1b2")]
    assert list(locked(lock, "3.11")) == [("a-b", "1.0"), ("d", "0.1b2")]


@pytest.mark.parametrize("target", ["dist", "server-image", "release"])
def test_a_tag_that_is_not_the_version_releases_nothing(target: str, tmp_path: Path) -> None:
    """It says both."""
    done = make(target, "TAG=v9.9.9", f"DIST={tmp_path}", "BUILDER=false")
    assert done.returncode != 0
    assert f"TAG is v9.9.9, but the version is {__version__}\n" in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_release_says_what_the_changelog_says() -> None:
    """The section of its version, and nothing of the others."""
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


def test_hooks_run_make() -> None:
    """With the tools of .venv, and none of their own."""
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"
    assert {hook["entry"] for hook in repo["hooks"]} == {"make format", "make lint"}
