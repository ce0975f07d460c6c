"""Kernels that are compiled beforehand: where that can be done, and programs that have no others."""

import shutil

import pytest

from paravec_model.precompile import KNOWS_POINTERS

POSSIBLE = bool(shutil.which("ld")) and KNOWS_POINTERS

needed = pytest.mark.skipif(
    not POSSIBLE, reason="kernels cannot be compiled beforehand: no linker (apt-get install binutils), or numba 0.61"
)

WITHOUT_NUMBA = "import sys; sys.modules |= dict.fromkeys(('numba', 'llvmlite'))"
"""How a program begins that can compile nothing."""
