"""A progress bar for people."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(expected: Callable[[], int | None], done: int) -> Iterator[Callable[[], object]]:
    """What to call for each document. Shows a bar with documents per second on a terminal, nothing in a pipe or
    without tqdm; `done` documents were done before."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda: None
        return
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with tqdm(total=expected(), initial=done, unit=" documents", unit_scale=True, smoothing=0.1) as bar:
        yield bar.update
