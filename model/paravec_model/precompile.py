"""Compiles the kernels into shared libraries that need neither numba nor LLVM: python -m paravec_model.precompile [DIR]

numba compiles the kernels as ever; LLVM makes an object file of them, and the linker `ld` a library. numba passes an
array as seven words or nine; a function in front of each kernel makes those out of the block that `compiled` describes.
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from numba import njit, types
from numba.np.numpy_support import from_dtype
from numpy import dtype

from .compiled import ARGUMENTS, numba_kernel
from .libraries import library

CPUS = {"x86_64": ("x86-64-v2", "x86-64-v3"), "aarch64": ("generic",)}

KNOWS_POINTERS = llvm.llvm_version_info >= (16,)
"""Whether LLVM is new enough to call a pointer just that. numba also runs with older ones."""

_LIBC = {"memcpy", "memmove", "memset"}


def main() -> None:
    """Make the libraries for all kinds of CPU of this architecture, each in a process that compiles for no other."""
    if not KNOWS_POINTERS:
        raise SystemExit("kernels can be compiled beforehand with numba 0.62 or later")
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else __file__)
    directory = directory.parent if directory.is_file() else directory
    directory.mkdir(parents=True, exist_ok=True)
    processes = [_compiling(cpu, directory) for cpu in CPUS[platform.machine()]]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit("the kernels could not be compiled")


def _compiling(cpu: str, directory: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
    program = f"from paravec_model.precompile import compile_for; compile_for({cpu!r}, {str(directory)!r})"
    return subprocess.Popen([sys.executable, "-c", program], env=environment)  # noqa: S603  # our own words


def compile_for(cpu: str, directory: str) -> None:
    """Make the library for one kind of CPU, which numba must have been told of."""
    module, *others = (_kernel(name, kinds.split()) for name, kinds in ARGUMENTS.items())
    for other in others:
        module.link_in(other)
    machine = llvm.Target.from_triple(module.triple).create_target_machine(cpu=cpu, opt=3, reloc="pic")
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    outside = {f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")}
    if outside - _LIBC:
        raise SystemExit(
            f"a kernel calls {', '.join(sorted(outside - _LIBC))}, which no library brings; does it allocate?"
        )
    with tempfile.NamedTemporaryFile(suffix=".o") as file:
        file.write(machine.emit_object(module))
        file.flush()
        target = Path(directory) / library(cpu)
        made = target.with_suffix(f".{os.getpid()}.new")
        subprocess.run(["ld", "-shared", "-s", "-o", made, file.name], check=True)  # noqa: S603, S607
        # Who loads it meanwhile finds the one before or this, whole.
        made.replace(target)
    print(target.name)


def _kernel(name: str, kinds: list[str]) -> Any:
    """A kernel and the function in front of it, which alone can be seen from outside."""
    jitted = numba_kernel(name)
    options: dict[str, Any] = {key: value for key, value in jitted.targetoptions.items() if key != "nopython"}
    # No memory of numba's, and no way in from Python.
    options |= {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    compiled: Any = njit(**options)(jitted.py_func)
    compiled.compile(tuple(_numba_type(kind) for kind in kinds))
    (result,) = compiled.overloads.values()
    module = llvm.parse_assembly(result.library.get_llvm_str())
    for value in [*module.functions, *module.global_variables]:
        if not value.is_declaration:
            value.linkage = "internal"
    kernel = module.get_function(result.fndesc.llvm_func_name)
    kernel.name, kernel.linkage = f"numba_{name}", "external"
    module.link_in(llvm.parse_assembly(_entry(name, kinds, module.triple)))
    module.get_function(f"numba_{name}").linkage = "internal"
    return module


def _numba_type(kind: str) -> Any:
    scalar = from_dtype(dtype(kind[:2]))
    return types.Array(scalar, 1 + kind.count(","), "C") if kind.endswith("]") else scalar


def _entry(name: str, kinds: list[str], triple: str) -> str:
    """The function in front of a kernel, in LLVM's language."""
    body, passed = _lines(kinds)
    parameters = ", ".join(["ptr", "ptr", *(word.split()[0] for word in passed)])
    return "\n".join(
        [
            f'target triple = "{triple}"',
            f"declare i32 @numba_{name}({parameters})",
            f"define i32 @{name}(ptr %block) {{",
            "  %result = alloca ptr",
            "  %error = alloca ptr",
            *body,
            f"  %status = call i32 @numba_{name}({', '.join(['ptr %result', 'ptr %error', *passed])})",
            "  ret i32 %status",
            "}",
        ]
    )


def _lines(kinds: list[str]) -> tuple[list[str], list[str]]:
    """What loads the arguments from the block, and what is passed on."""
    body: list[str] = []
    passed: list[str] = []
    at = 0

    def load(kind: str) -> str:
        nonlocal at
        body.append(f"  %p{at} = getelementptr i64, ptr %block, i64 {at}")
        body.append(f"  %w{at} = load {kind}, ptr %p{at}")
        at += 1
        return f"%w{at - 1}"

    for kind in kinds:
        size = int(kind[1])
        if not kind.endswith("]"):
            passed.append(f"i{8 * size} {load(f'i{8 * size}')}")
            continue
        data, rows = load("ptr"), load("i64")
        passed += ["ptr null", "ptr null"]
        if "," in kind:
            columns = load("i64")
            body.append(f"  %n{at} = mul i64 {rows}, {columns}")
            body.append(f"  %s{at} = mul i64 {columns}, {size}")
            passed += [f"i64 %n{at}", f"i64 {size}", f"ptr {data}", f"i64 {rows}", f"i64 {columns}"]
            passed += [f"i64 %s{at}", f"i64 {size}"]
        else:
            passed += [f"i64 {rows}", f"i64 {size}", f"ptr {data}", f"i64 {rows}", f"i64 {size}"]
    return body, passed


if __name__ == "__main__":
    main()
