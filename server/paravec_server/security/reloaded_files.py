"""Values loaded from files that are watched, and loaded again when the files change."""

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Generic, TypeVar

from ..settings import SettingsError, setting_names
from ..telemetry.logs import event

_POLL_SECONDS = 1.0

# A reload that takes longer is logged: the file system does not respond.
_RELOAD_TIMEOUT_SECONDS = 10.0

# Largest file that is read. 200,000 tokens of 64 characters take 13 MB.
_MAX_FILE_BYTES = 16 * 2**20

T = TypeVar("T")

_log = logging.getLogger(__name__)


class ReloadedFiles(Generic[T]):
    """The value that `load` makes from some files, loaded again when they change.

    The first load must succeed. If a later one fails, e.g. on a file that is missing or half written, the previous
    value stays, and the failure is logged once for each state of the files. Background threads read the files, so a
    file system that hangs blocks no caller of `get`.
    """

    def __init__(self, name: str, files: Sequence[Path], load: Callable[[], T]) -> None:
        """`name` begins the names of log events. Raises what the first `load` raises."""
        self._name, self._files, self._load = name, files, load
        # Taken before the files are read, so that a change in between is seen at the next poll.
        self._state = self._file_state()
        self._failed_state: object = None
        self._value = load()
        threading.Thread(target=self._watch, name=name, daemon=True).start()

    def get(self) -> T:
        """The value of the last successful load."""
        return self._value

    def _watch(self) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix=self._name) as executor:
            while True:
                time.sleep(_POLL_SECONDS)
                try:
                    reload = executor.submit(self._reload_if_changed)
                    if not wait((reload,), _RELOAD_TIMEOUT_SECONDS).done:
                        self._log_failure(f"{self._files[0]}: the file system does not respond")
                    reload.result()
                except Exception as error:
                    # Maybe without a free thread or memory; the next poll tries again.
                    self._log_failure(type(error).__name__)

    def _reload_if_changed(self) -> None:
        state = self._file_state()
        if state == self._state:
            return
        try:
            self._value = self._load()
        except (SettingsError, OSError) as error:
            # `_state` stays, so the next poll tries again even if the files do not change.
            if state != self._failed_state:
                self._failed_state = state
                self._log_failure(error)
        else:
            self._state = state
            event(_log, logging.INFO, f"{self._name} reloaded")

    def _log_failure(self, problem: object) -> None:
        event(_log, logging.WARNING, f"{self._name} not reloaded", problem=problem)

    def _file_state(self) -> list[tuple[int, ...] | None]:
        """Differs after a file is written or replaced, or a link on its path changes, as in a Kubernetes Secret."""
        states: list[tuple[int, ...] | None] = []
        for file in self._files:
            try:
                found = file.stat()
            except OSError:
                states.append(None)
            else:
                states.append((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        return states


def read_file(setting: str, file: Path | None) -> bytes:
    """The content of a setting's file. Raises SettingsError, which names the setting, if it cannot be read."""
    assert file is not None  # noqa: S101  callers check the setting first
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise SettingsError(f"{setting_names(setting)}: {file}: must be a regular file, not a pipe or a device")
            content = opened.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{setting_names(setting)}: {file}: {error.strerror}") from None
    if len(content) > _MAX_FILE_BYTES:
        raise SettingsError(f"{setting_names(setting)}: {file}: is larger than {_MAX_FILE_BYTES // 2**20} MiB")
    return content
