"""Compiles the kernels: python -m paravec_model.kernels.build [--level LEVEL] [--output FOLDER]

It makes one shared library for each CPU level. hatch_build.py imports this module without the rest of the package, so
it uses only `levels`.
"""

import argparse
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .levels import FOLDER, LEVELS, Level, levels_of, library_path, machine, sources_hash, state_path

TARGETS = {
    "manylinux_2_17_x86_64": "x86_64-linux-gnu.2.17",
    "manylinux_2_17_aarch64": "aarch64-linux-gnu.2.17",
    "musllinux_1_2_x86_64": "x86_64-linux-musl",
    "musllinux_1_2_aarch64": "aarch64-linux-musl",
    "macosx_10_15_x86_64": "x86_64-macos.10.15",
    "macosx_11_0_arm64": "aarch64-macos.11.0",
}
"""Platform tags of wheels, and zig's names for the platforms."""

FLAGS = (
    "-std=c11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fomit-frame-pointer", "-fno-tree-slp-vectorize",
    "-falign-loops=32",
    "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi",
)  # fmt: skip
"""Flags for every compiler. -Wno-psabi: no function of the interface passes vectors. -fno-tree-slp-vectorize: otherwise
clang packs the errors of a step into a vector and unpacks them at once, which costs 5 % of DBOW's time."""

TIMEOUT_SECONDS = 300.0
"""A compiler that runs longer is stopped."""


class BuildError(Exception):
    """The kernels cannot be compiled. The message is one line; `output` is the compiler's full output."""

    def __init__(self, problem: str, output: str = "") -> None:
        super().__init__(problem)
        self.output = output


class NoCompilerError(BuildError):
    """No compiler is installed, and CC names none."""


class Compiler(NamedTuple):
    """The command of a C compiler."""

    command: tuple[str, ...]

    @property
    def is_zig(self) -> bool:
        """Whether it is zig, which can compile for other platforms."""
        return any(Path(word).stem in ("zig", "ziglang") for word in self.command)


def find_compiler() -> Compiler:
    """The compiler in `CC`, else zig of the package ziglang, else the system's; NoCompilerError if there is none."""
    try:
        given = shlex.split(os.environ.get("CC", ""))
    except ValueError as error:
        raise BuildError(f"CC is not a command: {error}") from error
    if given:
        if not shutil.which(given[0]):
            raise BuildError(f"CC names {given[0]}, which is not found")
        return Compiler(tuple(given))
    if importlib.util.find_spec("ziglang"):
        return Compiler((sys.executable, "-m", "ziglang", "cc"))
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if not found:
        raise NoCompilerError("no C compiler is found: pip install ziglang, or set CC to a compiler")
    return Compiler((found,))


def native_platform(machine: str = machine()) -> str | None:
    """The platform of TARGETS for this system and a CPU architecture, this machine's by default; None without one."""
    if sys.platform == "darwin":
        target = f"{machine}-macos"
    elif sys.platform == "linux":
        target = f"{machine}-linux-{'gnu' if 'CS_GNU_LIBC_VERSION' in os.confstr_names else 'musl'}"
    else:
        return None
    return next((name for name, known in TARGETS.items() if known.startswith(target)), None)


def compile_levels(folder: Path, levels: Sequence[str], compiler: Compiler, platform: str | None = None) -> list[Path]:
    """Compile the libraries of several levels into `folder`, in parallel. Returns the files."""

    def compile_level(level: str) -> Path:
        file = library_path(level, folder)
        compile_library(file, level, compiler, platform=platform)
        return file

    with ThreadPoolExecutor() as pool:
        return list(pool.map(compile_level, levels))


def compile_library(
    file: Path, level: str, compiler: Compiler, extra_flags: Sequence[str] = (), *, platform: str | None = None
) -> None:
    """Compile all C sources into the library `file`.

    `platform`: one of TARGETS, this machine's by default. With `-g` in `extra_flags` the library keeps its symbols, for
    a debugger or a sanitizer. The file is replaced atomically, and a second run makes the same bytes. BuildError if it
    fails.
    """
    sources = sorted(source.name for source in FOLDER.glob("*.c"))
    if not sources:
        raise BuildError(f"there are no C sources in {FOLDER}: build from paravec's source distribution")
    state = sources_hash()
    with tempfile.TemporaryDirectory(prefix="paravec-") as directory:
        made = Path(directory, "kernels.so")
        flags = _flags(LEVELS[level], compiler, platform or native_platform(LEVELS[level].machine), extra_flags)
        # Relative names, so that no path gets into the library.
        _run([*compiler.command, *flags, "-o", str(made), *sources], directory)
        if not made.exists():
            raise BuildError(f"the C compiler {compiler.command[0]} made no library")
        new = file.with_name(f"{file.name}.{os.getpid()}.new")
        try:
            shutil.copyfile(made, new)
            new.replace(file)
            state_path(file).write_text(state)
        except OSError as error:
            raise BuildError(f"{file} cannot be written: {error.strerror}") from error
        finally:
            # In a read-only directory this fails too, and would hide the first error.
            with suppress(OSError):
                new.unlink(missing_ok=True)


def _flags(level: Level, compiler: Compiler, platform: str | None, extra_flags: Sequence[str]) -> list[str]:
    flags = [*FLAGS]
    if compiler.is_zig:
        # Warnings are errors only for zig: other compilers may have any version, with other warnings.
        flags += ["-Werror", "-Wconversion", "-Wsign-conversion", "-Wshadow", f"-mcpu={level.mcpu}"]
        flags += ["-target", TARGETS[platform]] if platform else []
    else:
        flags += [f"-march={level.march}"]
    if platform and platform.startswith("macos"):
        # Else the library holds the paths of its sources and of the temporary folder.
        flags += ["-Wl,-install_name,kernels.so"]
        strip = "-Wl,-S"
    else:
        flags += ["-Wl,--no-undefined"]
        strip = "-s"
    return [*flags, *([] if "-g" in extra_flags else [strip]), *extra_flags]


def _run(command: Sequence[str], temporary: str) -> None:
    environment = {**os.environ, "LC_ALL": "C", "ZIG_GLOBAL_CACHE_DIR": _zig_cache(temporary)}
    try:
        done = subprocess.run(  # noqa: S603  # a compiler of the user's choice
            command,
            cwd=FOLDER,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"the C compiler {command[0]} cannot be run: {error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        first = next((line for line in lines if "error" in line), lines[-1])
        raise BuildError(f"the C compiler failed: {first}", done.stderr)


def _zig_cache(temporary: str) -> str:
    """A writable directory for zig's cache. Without one in the home directory, zig hangs or fails."""
    if given := os.environ.get("ZIG_GLOBAL_CACHE_DIR"):
        return given
    try:
        usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "zig")
        usual.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return temporary
    return str(usual) if os.access(usual, os.W_OK) else temporary


def main() -> None:
    """Compile the libraries that the command line names, and print their files."""
    parser = argparse.ArgumentParser(prog="python -m paravec_model.kernels.build", description="Compile the kernels.")
    parser.add_argument(
        "--level",
        action="append",
        choices=LEVELS,
        help="CPU level, may be repeated (default: all levels of this machine)",
    )
    parser.add_argument(
        "--output", type=Path, default=FOLDER, help="directory for the libraries (default: the package's)"
    )
    arguments = parser.parse_args()
    levels = arguments.level or levels_of(machine())
    if not levels:
        raise SystemExit(f"paravec has no kernels for CPUs of type {machine()}")
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
        for file in compile_levels(arguments.output, levels, find_compiler()):
            print(file)
    except BuildError as error:
        raise SystemExit(error.output or str(error)) from None
    except OSError as error:
        raise SystemExit(f"{arguments.output}: {error.strerror}") from None


if __name__ == "__main__":
    main()
