"""How many cores the server takes for its own, by the files of cgroups."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from paravec_model import model, parallel
from paravec_model.artifact import Artifact
from paravec_model.cores import usable_cores
from paravec_model.encoder import Encoder
from paravec_model.indexing import infer
from paravec_model.indexing.source import Document

MANY = 64


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of many cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MANY)))


def write(root: Path, files: dict[str, str]) -> None:
    """Write files of cgroups."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(os.fsencode(content) + b"\n")


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/", {"cpu.max": "25000 100000"}, 1),
        ("0::/", {"cpu.max": "9900000 100000"}, MANY),
        ("0::/system.slice/paravec.service", {"system.slice/paravec.service/cpu.max": "300000 100000"}, 3),
        ("0::/a/b", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "max 100000"}, 4),
        ("0::/a/b", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "500000 100000"}, 4),
        ("0::/kubepods/on-the-host", {"cpu.max": "200000 100000"}, 2),
        (
            "4:cpu,cpuacct:/docker/id\n0::/",
            {"cpu/docker/id/cpu.cfs_quota_us": "500000", "cpu/docker/id/cpu.cfs_period_us": "100000"},
            5,
        ),
        ("4:cpu:/on-the-host", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
    ],
)
def test_a_cpu_limit_is_what_the_server_uses(
    membership: str, files: dict[str, str], cores: int, tmp_path: Path
) -> None:
    """A limit of both versions of cgroups, of the process's own or of a parent, is rounded up; the request is not
    used."""
    write(tmp_path, {"membership": membership} | files)
    assert usable_cores(7, tmp_path, tmp_path / "membership") == cores
    assert usable_cores(None, tmp_path, tmp_path / "membership") == cores


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("0::/", {"cpu.max": "max 100000"}),
        ("4:cpu:/\n0::/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}),
        ("4:cpuset:/x", {"cpu/x/cpu.cfs_quota_us": "100000", "cpu/x/cpu.cfs_period_us": "100000"}),
        ("9:name=systemd:/", {}),
        ("no cgroup\n0::/", {"cpu.max": "200000"}),
        ("0::/\udcff", {"cpu.max": "much 100000"}),
        ("0::/", {"cpu.max": "100000 0"}),
        ("0::/", {"cpu.max": ""}),
    ],
)
@pytest.mark.parametrize(("request_", "cores"), [(None, MANY), (3, 3), (0, 1), (100, MANY)])
def test_without_a_limit_the_request_counts(
    membership: str, files: dict[str, str], request_: int | None, cores: int, tmp_path: Path
) -> None:
    """Without a limit the server uses what is requested, at least one core, and all cores if nothing says it. A file
    that no kernel writes, as an emulation may, limits nothing."""
    write(tmp_path, {"membership": membership} | files)
    assert usable_cores(request_, tmp_path, tmp_path / "membership") == cores


def test_a_model_in_a_program_keeps_to_the_limit_too(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many threads as cores infer for `load` and for an index, unless the program says how many."""
    pools = list[int]()

    class Pool(ThreadPoolExecutor):
        def __init__(self, threads: int) -> None:
            pools.append(threads)
            super().__init__(threads)

    for module in (model, infer):
        monkeypatch.setattr(module, "usable_cores", lambda: 3)
    for module in (model, parallel):
        monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)
    encoder = Encoder(artifact)
    for threads in (None, 2):
        model.Model(encoder, threads).embed(["fire"])
        list(infer.batches(encoder, [Document(1, ["fire"])], [1.0], encoder.defaults, threads))
    assert pools == [3, 3, 2, 2]


def test_a_system_without_cgroups_has_all_its_cores(tmp_path: Path) -> None:
    """Nothing is there to read."""
    assert usable_cores(None, tmp_path / "none", tmp_path / "none") == MANY
