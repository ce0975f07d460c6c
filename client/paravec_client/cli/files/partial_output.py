"""An output file while it is written, with the state that a later run needs to resume it.

The file is OUTPUT.partial until it is complete; then it becomes OUTPUT. OUTPUT.state records how many documents of
which input, with which model and options, are in its first bytes. A resumed run truncates the file to these.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import CommandError
from .inputs import Record


@dataclass
class ResumeState:
    """The content of OUTPUT.state."""

    parameters: dict[str, Any]
    """Model, options and format, which must be the same when the run is resumed."""
    documents: int = 0
    """Documents of the input that are done."""
    input_digest: str = ""
    """Digest of these documents."""
    failed: int = 0
    """Documents of these without a vector."""
    size: int = 0
    """Bytes of the output for these documents."""


class PartialOutput:
    """The files OUTPUT.partial and OUTPUT.state for an output at `path`."""

    def __init__(self, path: Path, *, resume: bool, force: bool) -> None:
        """CommandError if the output or a part of it exists, unless `resume` or `force`."""
        self.path = path
        self.partial, self._state = (path.with_name(path.name + suffix) for suffix in (".partial", ".state"))
        self.complete = resume and path.exists() and not self.partial.exists()
        """Whether an earlier run has finished the output."""
        self._resumes = resume and not force and self.partial.exists()
        if force or resume:
            return
        if path.exists():
            raise CommandError(f"{path}: exists already; --force overwrites it")
        if self.partial.exists():
            raise CommandError(f"{path}: is unfinished; --resume continues it, --force starts again")

    def load_state(self, parameters: dict[str, Any]) -> ResumeState:
        """The state to continue from; CommandError if the output was started with other parameters."""
        if not self._resumes:
            return ResumeState(parameters)
        try:
            state = ResumeState(**json.loads(self._state.read_text()))
        except (OSError, ValueError, TypeError):
            raise CommandError(f"{self._state}: is missing or damaged; --force starts again") from None
        for name, value in parameters.items():
            if (before := state.parameters.get(name)) != value:
                raise CommandError(
                    f"{self.path}: was started with {name} {before}, this run has {value}; --force starts again"
                )
        if self.partial.stat().st_size < state.size:
            raise CommandError(f"{self.partial}: has fewer than {state.size} bytes; --force starts again")
        return state

    @contextmanager
    def open(self, state: ResumeState) -> Iterator[BinaryIO]:
        """The partial file, truncated to the state's size, for appending."""
        try:
            with self.partial.open("r+b" if self._resumes else "w+b") as file:
                file.truncate(state.size)
                file.seek(state.size)
                yield file
        except OSError as error:
            raise CommandError(f"{error.filename or self.partial}: {error.strerror}") from error

    def save_state(self, state: ResumeState) -> None:
        """Write the state file, atomically."""
        new = self._state.with_name(self._state.name + ".new")
        new.write_text(json.dumps(asdict(state)) + "\n")
        new.replace(self._state)

    def discard(self) -> None:
        """Delete both files."""
        self.partial.unlink()
        self.delete_state()

    def delete_state(self) -> None:
        """Delete the state file, because the output is complete."""
        self._state.unlink(missing_ok=True)


class InputDigest:
    """A digest of documents, which shows whether a resumed run reads the same input."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, record: Record) -> None:
        """Add the next document."""
        self._hash.update(json.dumps([record.id, record.document], default=repr).encode() + b"\n")

    def __str__(self) -> str:
        return self._hash.hexdigest()
