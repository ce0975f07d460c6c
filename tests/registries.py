"""A registry of container images on a free port of the loopback: Debian's docker-registry, over plain HTTP."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .servers import until

_CONFIGURATION = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {store}}}}}
http: {{addr: "127.0.0.1:0"}}
"""


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """A registry that keeps its blobs in `folder`, as HOST:PORT; the test is skipped where there is none."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed (`.ci/run` gets it from Debian)")
    configuration, log = folder / "registry.yml", folder / "registry.log"
    configuration.write_text(_CONFIGURATION.format(store=folder / "store"))
    with (
        log.open("w") as file,
        subprocess.Popen([program, "serve", configuration], stdout=file, stderr=file) as process,
    ):
        try:
            until(lambda: _address(log) is not None or process.poll() is not None)
            address = _address(log)
            assert address, log.read_text()
            yield address
        finally:
            process.kill()


def _address(log: Path) -> str | None:
    found = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())
    return found and found[1]
