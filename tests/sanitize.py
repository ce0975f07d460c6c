"""The tests that run kernels, with kernels that notice when they leave an array: `make sanitize`.

gcc builds a copy of the package with AddressSanitizer and UndefinedBehaviorSanitizer, and counts the lines that run.
The tests that call kernels run with it, those against gensim too, and many examples of the fuzzers.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from paravec_model.kernels import build
from paravec_model.kernels.levels import FOLDER, cpu_level, library_path

ROOT = Path(__file__).parents[1]
SANITIZED = ROOT / "build" / "sanitized"
COUNTS = SANITIZED / "counts"

FLAGS = (
    "-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize-recover=all", "--coverage", "-fprofile-update=atomic", "-dumpdir", f"{COUNTS}/",
)  # fmt: skip

OPTIONS = {
    # Python lets go of nothing at its end. A size that cannot be had is a MemoryError, as ever.
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    # Python's own allocator would put many objects into one block.
    "PYTHONMALLOC": "malloc",
}

TESTS = (
    "tests/unit/test_kernels.py",
    "tests/unit/test_kernel_fuzz.py",
    "tests/unit/test_artifact_fuzz.py",
    "tests/unit/test_vocabulary.py",
    "tests/unit/test_token_ids.py",
    "tests/unit/test_random_tables.py",
    "tests/unit/test_similar.py",
    "tests/integration/test_inference.py",
    "tests/integration/test_parity.py",
    "tests/integration/test_map.py",
)
# What needs a server or trains for long adds nothing to what kernels are given.
LEFT_OUT = "optimum or chooses or server or caller or as_good_as or every_character or gensims and hierarchical"


def runtime_libraries(gcc: str) -> list[str]:
    """What must be loaded before Python, the sanitizer first; empty if gcc has no sanitizer here."""
    found = []
    # The sanitizer wraps exceptions of C++, which other packages load later.
    for name in ("libasan.so", "libstdc++.so.6"):
        shown = subprocess.run([gcc, f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout
        if Path(shown.strip()).is_absolute():
            found.append(str(Path(shown.strip()).resolve()))
    return found if any("libasan" in file for file in found) else []


def build_copy(gcc: str, level: str) -> None:
    """The package with such a library, in the place of an earlier one."""
    shutil.rmtree(SANITIZED, ignore_errors=True)
    package = SANITIZED / "paravec_model"
    shutil.copytree(FOLDER.parent, package, ignore=shutil.ignore_patterns("__pycache__", "kernels-*"))
    COUNTS.mkdir()
    build.compile_library(library_path(level, package / "kernels"), level, build.Compiler((gcc,)), FLAGS)


def lines_run(gcov: str) -> dict[str, dict[int, int]]:
    """How often each line of each source ran."""
    counts: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for file in COUNTS.glob("*.gcda"):
        command = [gcov, "--json-format", "--stdout", str(file)]
        shown = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True).stdout
        for source in json.loads(shown)["files"]:
            for line in source["lines"]:
                counts[Path(source["file"]).name][line["line_number"]] += line["count"]
    return {name: dict(lines) for name, lines in counts.items() if (FOLDER / name).is_file()}


def show(counts: dict[str, dict[int, int]]) -> None:
    """A table of the lines that ran, and where those are that did not."""
    print(f"{'source':<14}{'lines':>7}{'ran':>7}   not run")
    for name, lines in sorted(counts.items()):
        missed = sorted(number for number, count in lines.items() if not count)
        ran = 1 - len(missed) / len(lines)
        print(f"{name:<14}{len(lines):>7}{ran:>7.1%}   {', '.join(map(str, missed))}")
    every = [count for lines in counts.values() for count in lines.values()]
    print(f"{'all':<14}{len(every):>7}{sum(map(bool, every)) / len(every):>7.1%}")


def main() -> None:
    """Build, run and show; the status is the tests', or 1 if no kernel ran."""
    gcc, gcov, level = shutil.which("gcc"), shutil.which("gcov"), cpu_level()
    libraries = runtime_libraries(gcc) if gcc else []
    if not gcc or not gcov or not libraries or level is None:
        print("make sanitize is skipped: it needs gcc with libasan and gcov (on Debian: apt-get install gcc libc6-dev)")
        return
    build_copy(gcc, level)
    path = os.pathsep.join(filter(None, (str(SANITIZED), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, **OPTIONS, "PYTHONPATH": path, "LD_PRELOAD": " ".join(libraries)}
    # A wrong address is the sanitizer's to handle, and what it says is not pytest's to keep.
    command = [sys.executable, "-m", "pytest", "-p", "no:faulthandler", "--capture", "sys",
               "--hypothesis-profile", "sanitize", "--numprocesses", "auto", "--maxprocesses", "4",
               "-k", f"not ({LEFT_OUT})", *(sys.argv[1:] or TESTS)]  # fmt: skip
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if counts := lines_run(gcov):
        show(counts)
    else:
        print("no line was counted: the tests crashed, or ran with other kernels")
    raise SystemExit(status or int(not counts))


if __name__ == "__main__":
    main()
