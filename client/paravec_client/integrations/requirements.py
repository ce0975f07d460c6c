"""The libraries that integrations are for: a missing one is named with the extra that installs it."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def required(extra: str) -> Iterator[None]:
    """Around the imports of an integration's library: one that is missing is an ImportError which names the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"no {error.name}: pip install 'paravec[{extra}]'", name=error.name) from None
