"""Vectors are the same to the bit on different kinds of CPU, and by different compilers."""

import shutil
import subprocess
from pathlib import Path

import pytest

from paravec_model.kernels import build
from paravec_model.kernels.levels import FOLDER, LEVELS, cpu_level

EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
GCC = shutil.which("gcc")
DRIVER = Path(__file__).with_name("kernel_bits.c")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(cpu_level() != "x86-64-v3", reason="this CPU has not the level that is compared"),
]


def compiled(compiler: build.Compiler, program: Path, *target: str) -> Path:
    """A program that runs the kernels, as their library is compiled."""
    flags = [flag for flag in build.FLAGS if flag not in ("-shared", "-fPIC")]
    sources = [*sorted(map(str, FOLDER.glob("*.c"))), str(DRIVER)]
    command = [*compiler.command, *flags, *target, f"-I{FOLDER}", "-o", str(program), *sources]
    subprocess.run(command, check=True, timeout=build.TIMEOUT_SECONDS)
    return program


def zig() -> build.Compiler:
    """The compiler of released wheels."""
    pytest.importorskip("ziglang", reason="zig compiles for other CPUs: pip install ziglang")
    return build.find_compiler()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the program prints here."""
    target = ("-target", build.TARGETS["manylinux_2_17_x86_64"], f"-mcpu={LEVELS['x86-64-v3'].mcpu}")
    program = compiled(zig(), tmp_path_factory.mktemp("bits") / "here", *target)
    shown = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    assert all(line.split()[-2] == "0" for line in shown.splitlines()), shown
    return shown


@pytest.mark.skipif(not EMULATOR, reason="no emulator of 64-bit Arm: apt-get install qemu-user-static")
def test_arm_gives_the_bits_of_x86(expected: str, tmp_path: Path) -> None:
    """A cluster may have nodes of both."""
    target = ("-target", "aarch64-linux-musl", f"-mcpu={LEVELS['aarch64'].mcpu}")
    program = compiled(zig(), tmp_path / "arm", *target)
    assert subprocess.run([str(EMULATOR), program], capture_output=True, text=True, check=True).stdout == expected


@pytest.mark.skipif(not GCC, reason="no gcc")
def test_gcc_gives_the_bits_of_zig(expected: str, tmp_path: Path) -> None:
    """A server that is built from source agrees with one from a wheel."""
    program = compiled(build.Compiler(("gcc",)), tmp_path / "gcc", f"-march={LEVELS['x86-64-v3'].march}")
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == expected
