"""kernels.h as Python reads it, against what a C compiler makes of it."""

import subprocess
from pathlib import Path

import pytest

from paravec_model.kernels import build, interface
from paravec_model.kernels.levels import FOLDER
from paravec_model.kernels.library import load


def members(structure: str) -> dict[str, int]:
    """The members of a structure, and of those inside of it, and at which byte Python puts each."""
    places: dict[str, int] = {}
    at = 0
    for member, kind in interface._STRUCTURES[structure].items():
        places[member] = at
        inner = members(kind) if kind in interface._STRUCTURES else {}
        places |= {f"{member}.{name}": at + place for name, place in inner.items() if name != "end"}
        at += inner.get("end", 8)
    return {**places, "end": at}


def test_python_and_c_agree_on_the_interface(tmp_path: Path) -> None:
    """On the size of each structure, where its members lie, the constants, and what each function takes."""
    try:
        compiler = build.find_compiler()
    except build.NoCompilerError as error:
        pytest.skip(str(error))
    facts = [f"{name} == {value}" for name, value in interface.CONSTANTS.items()]
    for structure in interface._STRUCTURES:
        for member, place in members(structure).items():
            what = f"sizeof({structure})" if member == "end" else f"offsetof({structure}, {member})"
            facts.append(f"{what} == {place}")
    # C refuses to declare a function again with other parameters.
    again = [f"{result} {name}({', '.join(takes)});" for name, (result, takes) in interface._FUNCTIONS.items()]
    assert len(again) == (FOLDER / "kernels.h").read_text("utf-8").count(");")
    source = tmp_path / "layout.c"
    claims = [f'_Static_assert({fact}, "");' for fact in facts]
    source.write_text("\n".join(["#include <stddef.h>", '#include "kernels.h"', *again, *claims, ""]))
    command = [*compiler.command, "-std=c11", f"-I{FOLDER}", "-c", "-o", str(source.with_suffix(".o")), str(source)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_each_function_that_is_declared_is_there() -> None:
    """A library is linked without a complaint if one is missing."""
    assert [name for name in interface._FUNCTIONS if not hasattr(load(), name)] == []
