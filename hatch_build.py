"""The hatchling build hook that compiles the kernels of paravec_model.

A wheel is built for this machine, or for the platform in PARAVEC_WHEEL_PLATFORM: one of `TARGETS` in
model/paravec_model/kernels/build.py, or `any` for a wheel without kernels, of which only the client works.
"""

import importlib
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_KERNELS = Path(__file__).parent / "model/paravec_model/kernels"

# The versions that the kernels are tested with.
_ZIG = "ziglang>=0.15.1,<0.18"


def _import_build() -> Any:
    """kernels/build.py without its package, which imports numpy: that is not installed in a build environment."""
    package = ModuleType("kernels")
    package.__path__ = [str(_KERNELS)]
    sys.modules["kernels"] = package
    return importlib.import_module("kernels.build")


build = _import_build()


class KernelsHook(BuildHookInterface[Any]):
    """Compiles the kernels into the wheel, or into the source tree for an editable installation."""

    _compiled: TemporaryDirectory[str] | None = None

    def dependencies(self) -> list[str]:
        """Zig, unless `CC` names another compiler or the wheel has no kernels."""
        return [_ZIG] if self._platform and not os.environ.get("CC") else []

    @property
    def _platform(self) -> str | None:
        platform = os.environ.get("PARAVEC_WHEEL_PLATFORM") or build.native_platform()
        return None if platform == "any" else platform

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, or without a compiler pack the sources, which `python -m paravec_model.kernels.build` compiles."""
        platform = build.native_platform() if version == "editable" else self._platform
        if platform and platform not in build.TARGETS:
            self.app.abort(f"PARAVEC_WHEEL_PLATFORM is {platform}, not one of any, {', '.join(build.TARGETS)}")
        try:
            compiler = build.find_compiler() if platform else None
        except build.NoCompilerError as error:
            self.app.display_warning(f"paravec is built without its kernels: {error}")
            compiler = None
        except build.BuildError as error:
            self.app.abort(str(error))
        if version == "editable":
            if compiler:
                self._compile(_KERNELS, compiler, platform)
            return
        if compiler:
            if os.environ.get("PARAVEC_WHEEL_PLATFORM") and not compiler.is_zig:
                self.app.abort(f"only zig compiles for {platform}: install ziglang, and unset CC")
            self._compiled = TemporaryDirectory(prefix="paravec-")
            files = self._compile(Path(self._compiled.name), compiler, platform)
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{self._tag(compiler, platform)}"
        else:
            files = [*_KERNELS.glob("*.[ch]"), _KERNELS / "build.py"]
        build_data["force_include"] |= {str(file): f"paravec_model/kernels/{file.name}" for file in files}

    def _compile(self, folder: Path, compiler: Any, platform: str | None) -> list[Path]:
        machine = build.TARGETS[platform].partition("-")[0]
        try:
            return list(build.compile_levels(folder, build.levels_of(machine), compiler, platform))
        except build.BuildError as error:
            self.app.abort(f"{error.output}{error}; without kernels: PARAVEC_WHEEL_PLATFORM=any")
            raise

    def _tag(self, compiler: Any, platform: str | None) -> str | None:
        """The wheel's platform tag. Only zig targets a platform's oldest C library; other compilers target this one."""
        return platform if compiler.is_zig or sys.platform == "darwin" else f"linux_{build.machine()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove the compiled files, which are in the wheel now."""
        if self._compiled:
            self._compiled.cleanup()
