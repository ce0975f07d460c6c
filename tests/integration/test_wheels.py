"""Building the package: wheels for each platform, and without a compiler."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import gettempdir
from zipfile import ZipFile

import pytest

from paravec_model.kernels import build, levels

ROOT = Path(__file__).parents[2]
KERNELS = "paravec_model/kernels"
NATIVE = build.native_platform()
HIDE_ZIG = "import sys; sys.modules['ziglang'] = None;"
LOAD = """
from paravec_model.errors import ModelError
from paravec_model.kernels.library import load
try:
    print(load()._name)
except ModelError as error:
    print(error)
"""

pytestmark = pytest.mark.slow
native = pytest.mark.skipif(NATIVE is None, reason="no kernels for this machine")
cross = pytest.mark.skipif(not build.find_compiler().is_zig, reason="only zig compiles for another platform")


def pip_wheel(source: Path, into: Path, **environment: str) -> Path:
    """The wheel that pip builds of a folder or a source distribution, from nothing but what is installed here."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    variables = {**os.environ, "CC": "", "PARAVEC_WHEEL_PLATFORM": "", **environment}
    subprocess.run([*command, "--wheel-dir", into, source], env=variables, capture_output=True, check=True)
    (wheel,) = into.glob("*.whl")
    return wheel


def hatchling(call: str, source: Path = ROOT, **environment: str) -> str:
    """What a function of the build backend returns."""
    variables = {**os.environ, "CC": "", "PARAVEC_WHEEL_PLATFORM": "", **environment}
    program = f"{HIDE_ZIG if environment.get('PATH') == '' else ''}import hatchling.build as b; print(b.{call})"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=source, env=variables, capture_output=True, text=True, check=True
    ).stdout.splitlines()[-1]


def unpack(wheel: Path, into: Path) -> Path:
    """The folder that a wheel would be installed into."""
    with ZipFile(wheel) as archive:
        archive.extractall(into)
    return into


def run(site: Path, *arguments: str, **environment: str) -> str:
    """What a Python process prints that has what is unpacked in `site`."""
    variables = {**os.environ, "PYTHONPATH": str(site), "CC": "", **environment}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=site, env=variables, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def kernels_in(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel's folder of kernels."""
    with ZipFile(wheel) as archive:
        paths = [Path(name) for name in archive.namelist()]
        return {path.name: archive.read(str(path)) for path in paths if str(path.parent) == KERNELS}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel for this machine."""
    return pip_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@native
@cross
def test_the_wheel_holds_a_library_for_each_level(wheel: Path) -> None:
    """It needs no compiler where it is installed, so it brings no source; any CPython 3 can have it."""
    assert wheel.name.endswith(f"-py3-none-{NATIVE}.whl")
    files = kernels_in(wheel)
    assert {name for name in files if name.endswith(".so")} == {
        levels.library_path(level).name for level in levels.levels_of(levels.machine())
    }
    assert {"library.py", "kernels.h"} < set(files)
    assert not any(name.endswith(".c") or name == "build.py" for name in files)


@native
@pytest.mark.skipif("manylinux" not in str(NATIVE), reason="about glibc")
@cross
def test_the_libraries_need_no_newer_glibc_than_the_tag_says(wheel: Path) -> None:
    """A library that was linked here would ask for what is here."""
    for name, data in kernels_in(wheel).items():
        if name.endswith(".so"):
            assert all(int(minor) <= 17 for minor in re.findall(rb"GLIBC_2\.(\d+)", data)), name


@native
def test_an_installed_wheel_loads_its_kernels_without_a_compiler(wheel: Path, tmp_path: Path) -> None:
    """As it lies in an image."""
    site = unpack(wheel, tmp_path)
    assert run(site, "-c", HIDE_ZIG + LOAD, PATH="") == str(site / KERNELS / f"kernels-{levels.cpu_level()}.so")


@cross
@pytest.mark.parametrize(
    ("platform", "magic"),
    [
        ("manylinux_2_17_aarch64", rb"\x7fELF.{14}\xb7\0"),
        ("musllinux_1_2_x86_64", rb"\x7fELF.{14}\x3e\0"),
        ("macosx_11_0_arm64", rb"\xcf\xfa\xed\xfe\x0c\0\0\x01"),
    ],
)
def test_wheels_are_cross_compiled(platform: str, magic: bytes, tmp_path: Path) -> None:
    """One machine builds wheels for other CPUs and operating systems."""
    name = hatchling(f"build_wheel({str(tmp_path)!r})", PARAVEC_WHEEL_PLATFORM=platform)
    assert name.endswith(f"-py3-none-{platform}.whl")
    libraries = [data for file, data in kernels_in(tmp_path / name).items() if file.endswith(".so")]
    assert libraries
    assert all(re.match(magic, data, re.DOTALL) for data in libraries)
    for path in (ROOT, Path(gettempdir(), "paravec-")):
        assert not any(str(path).encode() in data for data in libraries)


@native
@pytest.mark.skipif(sys.platform != "linux", reason="about Linux")
@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler (apt-get install gcc libc6-dev)")
def test_a_source_distribution_is_built_with_the_compiler_of_the_system(tmp_path: Path) -> None:
    """The wheel is for this machine alone, whatever C library the compiler links with."""
    source = tmp_path / hatchling(f"build_sdist({str(tmp_path)!r})")
    wheel = pip_wheel(source, tmp_path / "wheel", CC="cc")
    assert wheel.name.endswith(f"-py3-none-linux_{levels.machine()}.whl")
    site = unpack(wheel, tmp_path / "site")
    assert run(site, "-c", LOAD, PATH="") == str(site / KERNELS / f"kernels-{levels.cpu_level()}.so")


@native
def test_without_a_compiler_the_client_still_installs(tmp_path: Path) -> None:
    """A wheel built without a compiler has no kernels; its client works, and its model names the build command."""
    name = hatchling(f"build_wheel({str(tmp_path)!r})", PATH="")
    assert name.endswith("-py3-none-any.whl")
    site = unpack(tmp_path / name, tmp_path / "site")
    run(site, "-c", "import paravec_client")
    library = site / KERNELS / f"kernels-{levels.cpu_level()}.so"
    command = "python -m paravec_model.kernels.build"
    assert run(site, "-c", LOAD) == f"{library} is missing: install a C compiler or ziglang, and run: {command}"
    run(site, *command.split()[1:])
    assert run(site, "-c", LOAD) == str(library)


@native
@pytest.mark.skipif(not shutil.which("cc"), reason="no other compiler than zig")
def test_only_zig_builds_for_a_named_platform(tmp_path: Path) -> None:
    """With another compiler a build for a named platform fails and says what to install."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        pip_wheel(ROOT, tmp_path, CC="cc", PARAVEC_WHEEL_PLATFORM="macosx_11_0_arm64")
    assert b"only zig compiles for macosx_11_0_arm64: install ziglang, and unset CC" in caught.value.stderr


def test_a_build_requires_ziglang_unless_cc_is_set() -> None:
    """The build backend requires ziglang unless CC or a platform without kernels is set."""
    assert "ziglang" in hatchling("get_requires_for_build_wheel()")
    assert "ziglang" in hatchling("get_requires_for_build_editable()")
    assert hatchling("get_requires_for_build_wheel()", CC="cc") == "[]"
    assert hatchling("get_requires_for_build_wheel()", PARAVEC_WHEEL_PLATFORM="any") == "[]"
    assert hatchling("get_requires_for_build_sdist()") == "[]"
