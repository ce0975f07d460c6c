"""pyarrow, where it is there: it is large, and most do without."""

from typing import Any

from ..problems import missing


def import_pyarrow() -> Any:
    """pyarrow with pyarrow.parquet; CommandError says how to install it if it is not there."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise missing("pyarrow", "Parquet", "pyarrow") from None
    return pyarrow
