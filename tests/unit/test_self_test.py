"""The direct path is tried before it is taken."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from paravec_server.rpc.fast_path import completion_queue, self_test
from paravec_server.rpc.fast_path.self_test import fast_path_works
from paravec_server.settings import Settings

SETTINGS = Settings(model=Path("m"))


def test_the_installed_grpcio_passes_the_trial(caplog: pytest.LogCaptureFixture) -> None:
    """The installed grpcio passes the trial of the direct path, and nothing is logged."""
    assert fast_path_works(SETTINGS)
    assert not caplog.records


def wants_more(*_: Any, arena: Any) -> None:
    """Stands for a class of grpcio that takes another argument."""
    raise AssertionError(arena)


def gives_nothing(*_: Any) -> Any:
    """Stands for a class of grpcio whose objects have other attributes."""
    return SimpleNamespace()


@pytest.mark.parametrize("shape", [wants_more, gives_nothing])
@pytest.mark.parametrize("name", [name for name in completion_queue._CLASSES if name.endswith("Operation")])
def test_an_incompatible_grpcio_falls_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, shape: Callable[..., Any]
) -> None:
    """When grpcio's internals differ, one line names the difference and calls use grpcio's own server."""
    monkeypatch.setattr(self_test, "_CALL_SECONDS", 0.5)
    monkeypatch.setattr(completion_queue, "cygrpc", SimpleNamespace(**{**vars(cygrpc), name: shape}))
    with caplog.at_level(logging.WARNING, "paravec_server.rpc.fast_path.self_test"):
        assert not fast_path_works(SETTINGS)
    (line,) = (record for record in caplog.records if record.name == "paravec_server.rpc.fast_path.self_test")
    assert line.getMessage() == "calls go by grpcio's own server, which is slower"
    assert line.facts["at"]  # type: ignore[attr-defined]
