"""Files that are read again when they change, for as long as what they hold makes sense."""

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Generic, TypeVar

from ..settings import SettingsError, names_of
from ..telemetry.logs import event

# Seconds between two looks at the files.
_LOOK = 1.0

# Seconds that a look may take until a line in the log says that the file system does not answer.
_HANGS = 10.0

# Bytes of the largest file that is read: 200,000 tokens of 64 letters take 13 MB.
_MOST = 16 * 2**20

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Renewed(Generic[T]):
    """What `load` makes of some files, made anew when they change.

    What is there at the start must be good. Later `load` may fail, on a file that is gone, half written or emptied:
    what was there before then stands, and one line says so for each state of the files. Threads of its own look at the
    files, so a file system that hangs holds nobody who asks for the value.
    """

    def __init__(self, name: str, files: Sequence[Path], load: Callable[[], T]) -> None:
        """`name` is what the log calls it; SettingsError if `load` raises it."""
        self._name, self._files, self._load = name, files, load
        # Looked at before they are read: a change in between is then seen at the next look.
        self._state = self._look()
        self._complained: object = None
        self._value = load()
        threading.Thread(target=self._watch, name=name, daemon=True).start()

    def get(self) -> T:
        """What the files held when they were last read."""
        return self._value

    def _watch(self) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix=self._name) as reader:
            while True:
                time.sleep(_LOOK)
                try:
                    looking = reader.submit(self._renew)
                    if not wait((looking,), _HANGS).done:
                        problem = f"{self._files[0]}: the file system does not answer"
                        event(_log, logging.WARNING, f"{self._name} kept", problem=problem)
                    looking.result()
                except Exception as error:
                    # No thread can be had at the moment, or there is no memory: the next look may do.
                    event(_log, logging.ERROR, f"{self._name} kept", problem=type(error).__name__)

    def _renew(self) -> None:
        state = self._look()
        if state == self._state:
            return
        try:
            self._value = self._load()
        except (SettingsError, OSError) as error:
            # What could not be read for a moment is read at the next look, though nothing changes then.
            if state != self._complained:
                self._complained = state
                event(_log, logging.WARNING, f"{self._name} kept", problem=error)
        else:
            self._state = state
            event(_log, logging.INFO, f"{self._name} renewed")

    def _look(self) -> list[tuple[int, ...] | None]:
        """What changes when a file is written, replaced, or a link on the way to it is turned (as in a Secret)."""
        states: list[tuple[int, ...] | None] = []
        for file in self._files:
            try:
                found = file.stat()
            except OSError:
                states.append(None)
            else:
                states.append((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        return states


def read(setting: str, file: Path | None) -> bytes:
    """What the file of a setting holds; SettingsError, which names the setting, if it cannot be read."""
    assert file is not None  # noqa: S101  who asks has looked
    try:
        # Without O_NONBLOCK, to open a FIFO would wait for who writes to it.
        with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise SettingsError(f"{names_of(setting)}: {file}: must be a regular file, not a pipe or a device")
            content = opened.read(_MOST + 1)
    except OSError as error:
        raise SettingsError(f"{names_of(setting)}: {file}: {error.strerror}") from None
    if len(content) > _MOST:
        raise SettingsError(f"{names_of(setting)}: {file}: is larger than {_MOST // 2**20} MiB")
    return content
