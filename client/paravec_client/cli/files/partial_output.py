"""A file that is being written, and how far it is good, so that a later run can go on where this one stopped.

OUTPUT.partial becomes OUTPUT when it is whole: nobody takes a part for the whole. OUTPUT.state beside it says which
documents of which input, model and options are in its first bytes; what is beyond them is cut off by the next run.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..problems import CommandError
from .inputs import Record


@dataclass
class State:
    """How far it is good."""

    begun: dict[str, Any]
    """What must not change: model, options, formats."""
    documents: int = 0
    """Documents of the input that are done."""
    read: str = ""
    """Digest of these documents."""
    failed: int = 0
    """How many of them have no vector."""
    size: int = 0
    """Bytes of the file that hold them."""


class Unfinished:
    """The file on its way to `path`."""

    def __init__(self, path: Path, *, resume: bool, force: bool) -> None:
        """CommandError if that would overwrite something, unless `force`."""
        self.path = path
        self.partial, self._state = (path.with_name(path.name + end) for end in (".partial", ".state"))
        self.whole = resume and path.exists() and not self.partial.exists()
        """Nothing is left to do."""
        self._continues = resume and not force and self.partial.exists()
        if force or resume:
            return
        if path.exists():
            raise CommandError(f"{path}: is there already; --force overwrites it")
        if self.partial.exists():
            raise CommandError(f"{path}: was begun and not finished; --resume continues it, --force begins anew")

    def state(self, begun: dict[str, Any]) -> State:
        """Where to go on; CommandError if it was begun with something else."""
        if not self._continues:
            return State(begun)
        try:
            state = State(**json.loads(self._state.read_text()))
        except (OSError, ValueError, TypeError):
            raise CommandError(f"{self._state}: does not say how to go on; --force begins anew") from None
        for name, value in begun.items():
            if (before := state.begun.get(name)) != value:
                raise CommandError(f"{self.path}: was begun with {name} {before}, this is {value}; --force begins anew")
        if self.partial.stat().st_size < state.size:
            raise CommandError(f"{self.partial}: has fewer than {state.size} bytes; --force begins anew")
        return state

    @contextmanager
    def opened(self, state: State) -> Iterator[BinaryIO]:
        """The file, cut to what is good, to be appended to."""
        try:
            with self.partial.open("r+b" if self._continues else "w+b") as file:
                file.truncate(state.size)
                file.seek(state.size)
                yield file
        except OSError as error:
            raise CommandError(f"{error.filename or self.partial}: {error.strerror}") from error

    def keep(self, state: State) -> None:
        """Remember how far it is good."""
        new = self._state.with_name(self._state.name + ".new")
        new.write_text(json.dumps(asdict(state)) + "\n")
        new.replace(self._state)

    def discard(self) -> None:
        """Nothing is in it."""
        self.partial.unlink()
        self.forget()

    def forget(self) -> None:
        """It is whole: there is nothing to remember."""
        self._state.unlink(missing_ok=True)


class DocumentsDigest:
    """Tells whether the documents that a later run passes over are those that an earlier one did."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, record: Record) -> None:
        """Take the next document in."""
        self._hash.update(json.dumps([record.id, record.document], default=repr).encode() + b"\n")

    def __str__(self) -> str:
        return self._hash.hexdigest()
