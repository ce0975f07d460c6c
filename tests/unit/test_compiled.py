"""The kernels compiled beforehand, against those that numba compiles as the program runs."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from paravec_model import compiled, libraries
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder
from paravec_model.errors import ModelError
from paravec_model.options import InferenceOptions
from paravec_model.precompile import CPUS

from .. import beforehand, parity

PACKAGE = Path(compiled.__file__).parent


@pytest.fixture(scope="module")
def package(kernel_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of paravec_model with its kernels compiled, as it lies in the image; the folder above it."""
    copy = tmp_path_factory.mktemp("package") / "paravec_model"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for kind in CPUS[platform.machine()]:
        shutil.copy(kernel_cache / libraries.library(kind), copy)
    return copy.parent


@pytest.fixture
def from_the_cache(kernel_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoders made now take their kernels from there."""
    loaded = libraries.load(kernel_cache)
    assert loaded is not None
    monkeypatch.setattr(compiled, "precompiled", lambda: loaded)


@beforehand.needed
@pytest.mark.parametrize(
    "kind",
    [{"dm": 0}, {"dm": 0, "hs": 1, "negative": 0}, {"dm": 0, "hs": 1},
     {"dm": 1, "dm_mean": 1}, {"dm": 1, "dm_mean": 0, "hs": 1}, {"dm": 1, "dm_concat": 1, "window": 2}],
    ids=["dbow", "dbow hs", "dbow both", "dm mean", "dm sum", "dm concat"],
)  # fmt: skip
def test_both_ways_give_the_same_bits(kind: dict[str, int], from_the_cache: None, tmp_path: Path) -> None:
    """A replica that compiled its kernels and one that found them made give one text one vector, and its neighbours."""
    artifact = parity.to_artifact(parity.train(epochs=2, **kind), tmp_path / "model", doctags=True)
    words = list(artifact.vocabulary)
    documents = [words[n : 3 * n] for n in (1, 7, 40, 150)] + [["unheard-of"]]
    there = Encoder(artifact)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "precompiled", lambda: None)
        here = Encoder(artifact)
    for method in there.methods:
        options = InferenceOptions(method=method, epochs=7, seed=3)
        vectors = there.encode(documents, options).vectors
        np.testing.assert_array_equal(vectors, here.encode(documents, options).vectors)
    assert there.neighbours
    assert here.neighbours
    assert there.neighbours.find(vectors, 20) == here.neighbours.find(vectors, 20)


@beforehand.needed
def test_it_takes_neither_numba_nor_a_cache(package: Path, artifact: Artifact) -> None:
    """The image has no numba, and its root is read-only."""
    program = (
        f"{beforehand.WITHOUT_NUMBA};"
        "import pathlib, paravec_model.artifact as a, paravec_model.encoder as e;"
        "e.Encoder(a.Artifact.open(pathlib.Path(sys.argv[1]))).warm()"
    )
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", program, artifact.path], env=environment, check=True)


@beforehand.needed
def test_a_cache_that_holds_them_is_as_good(kernel_cache: Path, artifact: Artifact) -> None:
    """Who may not write to an installed package can compile beforehand, too."""
    program = (
        f"{beforehand.WITHOUT_NUMBA};"
        "import pathlib, paravec_model.artifact as a, paravec_model.compiled as c, paravec_model.encoder as e;"
        "c.use_cache(pathlib.Path(sys.argv[2])); e.Encoder(a.Artifact.open(pathlib.Path(sys.argv[1]))).warm()"
    )
    subprocess.run([sys.executable, "-c", program, artifact.path, kernel_cache], check=True)


@beforehand.needed
@pytest.mark.parametrize("kept", [4, 100, 5_000, -100, -1])
def test_a_damaged_library_is_named(kept: int, kernel_cache: Path, tmp_path: Path) -> None:
    """It is not passed over, or a server would be slow to start and nobody would know why; nor is part of one run."""
    kind = libraries.cpu()
    assert kind
    name = libraries.library(kind)
    (tmp_path / name).write_bytes((kernel_cache / name).read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"kernels-.*\.so: cannot be loaded; delete it"):
        libraries.load(tmp_path)


@beforehand.needed
def test_a_library_of_other_source_is_left_alone(package: Path, tmp_path: Path) -> None:
    """Whoever changes a kernel runs the change, not what was compiled before it."""
    copy = tmp_path / "paravec_model"
    shutil.copytree(package / "paravec_model", copy)
    with (copy / "kernels.py").open("a") as file:
        file.write("# a change\n")
    program = "import paravec_model.libraries as l; print(l.precompiled())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    shown = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout == "None\n"


@beforehand.needed
def test_arrays_of_another_kind_are_refused(from_the_cache: None) -> None:
    """Machine code would read past the end of an array of smaller items."""
    fill = compiled.kernel("fill_windows", 5)
    with pytest.raises(TypeError, match=r"takes u4\[,\], not an array of uint16"):
        fill(np.ones(1, np.uint64), np.ones((1, 4), np.uint16))
    with pytest.raises(TypeError, match=r"takes u4\[,\], not int"):
        fill(np.ones(1, np.uint64), 4)
    with pytest.raises(TypeError, match=r"takes u8\[\]"):
        fill(np.ones(4, np.uint64)[::2], np.ones((2, 4), np.uint32))


def test_without_kernels_and_without_numba_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old CPU in a cluster, say, for which the image has no kernels."""
    monkeypatch.setattr(compiled, "precompiled", lambda: None)
    monkeypatch.delitem(sys.modules, "paravec_model.kernels", raising=False)
    monkeypatch.delattr("paravec_model.kernels", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ModelError, match="pip install numba"):
        compiled.kernel("dbow")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="about x86-64")
def test_the_cpu_is_a_level_not_a_make() -> None:
    """Two machines of different make compile the same."""
    assert libraries.cpu() in ("x86-64-v3", "x86-64-v2", None)
