"""Imports packages that few users need. If one is missing, CommandError says how to install it."""

from typing import Any

from .errors import CommandError


def import_pyarrow() -> Any:
    """pyarrow, with pyarrow.parquet."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise _missing("pyarrow", "Parquet", "pyarrow") from None
    return pyarrow


def import_shtab() -> Any:
    """shtab, which writes completion scripts."""
    try:
        import shtab
    except ImportError:
        raise _missing("shtab", "completion", "'paravec[cli]'") from None
    return shtab


def import_zstd() -> Any:
    """Python 3.14's compression.zstd or its backport."""
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise _missing("backports.zstd", ".zst before Python 3.14", "'paravec[cli]'") from None
    return zstd


def _missing(package: str, purpose: str, requirement: str) -> CommandError:
    return CommandError(f"{purpose} needs {package}: pip install {requirement}")
