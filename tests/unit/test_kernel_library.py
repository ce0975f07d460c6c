"""How the library of kernels is compiled and loaded, with a small one in a package of its own."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from paravec_model import errors
from paravec_model.kernels import build, levels

LEVEL = levels.cpu_level()
PROGRAM = """
import sys
from paravec_model.errors import ModelError
from paravec_model.kernels.library import load
try:
    print(load().answer())
except ModelError as error:
    print(error)
"""
HIDE_ZIG = "import sys; sys.modules['ziglang'] = None\n"
SOURCE = """
#ifndef ANSWER
#define ANSWER 42
#endif
__attribute__((visibility("default"))) int answer(void) { return ANSWER; }
"""

pytestmark = pytest.mark.skipif(LEVEL is None, reason="no kernels for this CPU")


class Tree:
    """A checkout of a package whose one kernel gives a number."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "model" / "paravec_model" / "kernels"
        self.folder.mkdir(parents=True)
        shutil.copy(errors.__file__, self.folder.parent)
        for name in ("build.py", "levels.py", "library.py"):
            shutil.copy(levels.FOLDER / name, self.folder)
        for package in (self.folder, self.folder.parent):
            (package / "__init__.py").touch()
        self.checkout = root / "hatch_build.py"
        self.checkout.touch()
        self.source = self.folder / "answer.c"
        self.source.write_text(SOURCE)
        self.library = self.folder / f"kernels-{LEVEL}.so"

    def start(self, program: str = PROGRAM, **environment: str) -> "subprocess.Popen[str]":
        """A process that has this package."""
        variables = {**os.environ, "PYTHONPATH": str(self.folder.parent.parent), **environment}
        return subprocess.Popen(
            [sys.executable, "-c", program], env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, program: str = PROGRAM, **environment: str) -> str:
        """What such a process prints."""
        return self.start(program, **environment).communicate()[0].rstrip("\n")

    def build(self, *arguments: str, **environment: str) -> str:
        """What the command for people prints."""
        command = [sys.executable, "-m", "paravec_model.kernels.build", *arguments]
        variables = {**os.environ, "PYTHONPATH": str(self.folder.parent.parent), **environment}
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A checkout with nothing compiled."""
    return Tree(tmp_path / "tree")


def test_a_changed_source_is_compiled_again(tree: Tree) -> None:
    """Whoever changes a kernel runs the change, and waits for the compiler only then."""
    assert tree.run() == "42"
    made = tree.library.stat()
    assert tree.run() == "42"
    assert tree.library.stat() == made
    tree.source.write_text(SOURCE.replace("42", "43"))
    assert tree.run() == "43"


def test_a_removed_or_older_source_is_compiled_again(tree: Tree) -> None:
    """A removed source, or one with an older modification time, makes the next start compile."""
    other = tree.folder / "other.c"
    other.write_text("int other;\n")
    tree.run()
    made = tree.library.stat()
    other.unlink()
    assert tree.run() == "42"
    assert tree.library.stat() != made
    tree.source.write_text(SOURCE.replace("42", "43"))
    os.utime(tree.source, (0, 0))
    assert tree.run() == "43"


def test_processes_that_start_at_once_compile_once(tree: Tree, tmp_path: Path) -> None:
    """The workers of a test run do not all compile."""
    log, script = tmp_path / "log", tmp_path / "compiler"
    script.write_text(f'#!/bin/sh\necho >> {log}\nexec {" ".join(build.find_compiler().command)} "$@"\n')
    script.chmod(0o755)
    # Named as zig is, where it is zig.
    zig = script.rename(tmp_path / "zig") if build.find_compiler().is_zig else script
    processes = [tree.start(CC=str(zig)) for _ in range(4)]
    assert [process.communicate()[0] for process in processes] == ["42\n"] * 4
    assert len(log.read_text().splitlines()) == 1


def test_an_installed_package_is_never_compiled(tree: Tree) -> None:
    """The times of installed files say nothing, and a server needs no compiler."""
    tree.build()
    tree.checkout.unlink()
    os.utime(tree.library, (0, 0))
    assert tree.run(HIDE_ZIG + PROGRAM, PATH="") == "42"
    assert tree.library.stat().st_mtime == 0


def test_another_projects_build_hook_does_not_make_it_a_checkout(tree: Tree, tmp_path: Path) -> None:
    """An installed package beside another project's hatch_build.py is not compiled."""
    tree.build()
    site = tmp_path / "vendor"
    shutil.copytree(tree.folder.parent, site / "paravec_model", ignore=shutil.ignore_patterns("*.c", "build.py"))
    (tmp_path / "hatch_build.py").touch()
    assert tree.run(PYTHONPATH=str(site)) == "42"


def test_a_missing_library_names_the_build_command(tree: Tree) -> None:
    """A package built without a compiler names the command that builds the library, and the command works."""
    tree.checkout.unlink()
    said = tree.run()
    assert said == (
        f"{tree.library} is missing: install a C compiler or ziglang, and run: python -m paravec_model.kernels.build"
    )
    assert str(tree.library) in tree.build()
    assert tree.run() == "42"


def test_a_missing_library_without_sources_asks_for_reinstallation(tree: Tree) -> None:
    """When the library was deleted from an installed package, the error says to install it again."""
    tree.checkout.unlink()
    tree.source.unlink()
    assert tree.run() == f"{tree.library} is missing: pip install --force-reinstall paravec"


@pytest.mark.skipif(platform.system() != "Linux", reason="about ELF")
@pytest.mark.parametrize("kept", [0, 4, 100, -100, -1])
def test_a_damaged_library_is_named(kept: int, tree: Tree) -> None:
    """Part of a library is not run: it could end the process with a bus error."""
    tree.build()
    tree.library.write_bytes(tree.library.read_bytes()[:kept])
    said = tree.run()
    assert said.startswith(f"{tree.library} cannot be loaded, install a C compiler or ziglang, and run: ")
    assert "\n" not in said


@pytest.mark.skipif(not build.find_compiler().is_zig, reason="only zig compiles for another CPU")
def test_a_library_of_another_cpu_is_named(tree: Tree) -> None:
    """An environment was copied from a machine of another kind."""
    other = next(name for name, level in levels.LEVELS.items() if level.machine != levels.machine())
    tree.build("--level", other)
    (tree.folder / f"kernels-{other}.so").replace(tree.library)
    tree.checkout.unlink()
    said = tree.run()
    assert said.startswith(f"{tree.library} cannot be loaded")
    assert "\n" not in said


@pytest.mark.parametrize(
    "patch", ["platform.machine = lambda: 'riscv64'", "levels._features = lambda: {'avx2', 'fma'}"]
)
def test_an_unsupported_cpu_is_one_clear_error(patch: str, tree: Tree) -> None:
    """An old CPU or another architecture is refused with what is needed."""
    if "_features" in patch and platform.machine() != "x86_64":
        pytest.skip("about x86-64")
    said = tree.run(f"import platform\nfrom paravec_model.kernels import levels\n{patch}\n{PROGRAM}")
    assert said.startswith("paravec has no kernels for this CPU (")
    assert "x86-64-v2" in said
    assert "\n" not in said


@pytest.mark.skipif(platform.machine() != "x86_64", reason="about x86-64")
def test_cpu_levels_include_the_lower_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that lacks one feature of a level has the level below."""
    table = levels.LEVELS
    v2, v3 = (set(table[name].features.split()) for name in ("x86-64-v2", "x86-64-v3"))
    for features, level in [(v2 | v3, "x86-64-v3"), (v2 | v3 - {"fma"}, "x86-64-v2"), (v3, None), (set(), None)]:
        monkeypatch.setattr(levels, "_features", lambda found=features: found)
        assert levels.cpu_level.__wrapped__() == level


def test_a_checkout_without_a_compiler_says_so(tree: Tree) -> None:
    """Without a compiler a stale library is not used, and the error says what to install."""
    said = tree.run(HIDE_ZIG + PROGRAM, PATH="", CC="")
    assert said.startswith(f"{tree.library} is missing and ")
    tree.library.touch()
    os.utime(tree.library, (0, 0))
    said = tree.run(HIDE_ZIG + PROGRAM, PATH="", CC="")
    assert said.startswith(f"{tree.library} is outdated and ")
    assert said.endswith("cannot be compiled: no C compiler is found: pip install ziglang, or set CC to a compiler")
    assert "\n" not in said


def test_a_compile_error_is_one_line(tree: Tree) -> None:
    """The line has the file and the line number."""
    tree.source.write_text("int answer(void) { return nothing; }\n")
    said = tree.run()
    assert "answer.c:1:" in said
    assert "\n" not in said


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc (apt-get install gcc)")
def test_cc_names_the_compiler(tree: Tree) -> None:
    """With arguments, as it does for make."""
    assert tree.run(CC="gcc -DANSWER=7") == "7"
    comment = tree.library.read_bytes()
    assert b"GCC: (" in comment


def test_a_missing_cc_is_named(tree: Tree) -> None:
    """A CC that does not exist is an error, and no other compiler is tried."""
    assert tree.run(CC="no-such-compiler -O2").endswith("CC names no-such-compiler, which is not found")
    assert tree.run(CC="gcc '-O2").endswith("CC is not a command: No closing quotation")


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    """A folder that the library cannot be written to is one line."""
    (tmp_path / "folder").touch()
    file = tmp_path / "folder" / "kernels.so"
    with pytest.raises(build.BuildError, match=rf"^{file} cannot be written: Not a directory"):
        build.compile_library(file, str(LEVEL), build.find_compiler())


def test_builds_are_reproducible(tree: Tree, tmp_path: Path) -> None:
    """The same source gives the same library in another folder and without a writable home."""
    other = Tree(tmp_path / "elsewhere")
    for each, environment in [(tree, {}), (other, {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": ""})]:
        each.build("--level", str(LEVEL), **environment)
    assert tree.library.read_bytes() == other.library.read_bytes()
