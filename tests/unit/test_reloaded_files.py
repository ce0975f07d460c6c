"""Files that are reloaded when they change, and file systems that hang."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paravec_server.security import reloaded_files
from paravec_server.security.bearer_tokens import BearerTokens
from paravec_server.security.reloaded_files import ReloadedFiles, read_file
from paravec_server.settings import SettingsError


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check files often, and take a read for hanging soon."""
    monkeypatch.setattr(reloaded_files, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(reloaded_files, "_RELOAD_TIMEOUT_SECONDS", 0.05)


def test_a_hanging_file_system_blocks_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The old content stays, one line says so once, and the file is read when it can be."""
    file, answers = tmp_path / "file", threading.Event()
    file.write_text("old")
    answers.set()

    def load() -> str:
        answers.wait()
        return file.read_text()

    reloaded = ReloadedFiles("secret", [file], load)
    answers.clear()
    file.write_text("newer")
    with caplog.at_level(logging.INFO, "paravec_server"):
        until(lambda: "secret not reloaded" in caplog.messages)
        assert reloaded.get() == "old"
        answers.set()
        until(lambda: reloaded.get() == "newer")
    assert caplog.messages == ["secret not reloaded", "secret reloaded"]


def test_a_token_file_replaced_by_a_pipe_is_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The old tokens stay valid, and tokens written later count."""
    file = tmp_path / "tokens"
    file.write_text("one\n")
    tokens = BearerTokens(file)
    file.unlink()
    os.mkfifo(file)
    with caplog.at_level(logging.INFO, "paravec_server"):
        until(lambda: "tokens not reloaded" in caplog.messages)
    assert tokens.allow([("authorization", "Bearer one")])
    file.unlink()
    file.write_text("two\n")
    until(lambda: tokens.allow([("authorization", "Bearer two")]))
    assert not tokens.allow([("authorization", "Bearer one")])


@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "large"])
def test_a_path_that_is_no_token_file_is_refused(tmp_path: Path, kind: str) -> None:
    """One line names the setting and the file."""
    file = {"fifo": tmp_path / "fifo", "device": Path("/dev/zero"), "directory": tmp_path}.get(kind, tmp_path / "large")
    if kind == "fifo":
        os.mkfifo(file)
    if kind == "large":
        with open(file, "wb") as sparse:
            sparse.truncate(2**40)
    told = {"directory": "Is a directory", "large": "is larger than 16 MiB"}.get(kind, "must be a regular file")
    with pytest.raises(SettingsError) as caught:
        read_file("tokens_file", file)
    assert str(caught.value).startswith(f"--tokens-file (PARAVEC_TOKENS_FILE): {file}: {told}")


def test_each_of_many_tokens_is_known(tmp_path: Path) -> None:
    """Each of many tokens is accepted, and nothing else."""
    file = tmp_path / "tokens"
    file.write_text("".join(f"token-{n}\n" for n in range(50_000)))
    tokens = BearerTokens(file)
    for token, known in (("token-0", True), ("token-49999", True), ("token-50000", False), ("", False)):
        assert tokens.allow([("authorization", f"Bearer {token}")]) == known
        assert not tokens.allow([("authorization", f"Basic {token}")])
