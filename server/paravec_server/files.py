"""Files that are read again when they change, for as long as what they hold makes sense."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from .logs import event
from .settings import SettingsError, names_of

# Seconds between two looks at the files.
_LOOK = 1.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Renewed(Generic[T]):
    """What `load` makes of some files, made anew when they change.

    What is there at the start must be good. Later `load` may fail, on a file that is gone, half written or emptied:
    what was there before then stands, and one line says so for each state of the files.
    """

    def __init__(self, name: str, files: Sequence[Path], load: Callable[[], T]) -> None:
        """`name` is what the log calls it; SettingsError if `load` raises it."""
        self._name, self._files, self._load = name, files, load
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        # Looked at before they are read: a change in between is then seen at the next look.
        self._state = self._look()
        self._complained: object = None
        self._value = load()

    def get(self) -> T:
        """What the files hold, as of a second ago at most."""
        now = time.monotonic()
        # Who comes while another looks takes what there is.
        if now - self._looked >= _LOOK and self._lock.acquire(blocking=False):
            try:
                self._looked = now
                self._renew()
            finally:
                self._lock.release()
        return self._value

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
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{names_of(setting)}: {file}: {error.strerror}") from None
