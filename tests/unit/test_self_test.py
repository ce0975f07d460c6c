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


def test_this_grpcio_fast_path_works(caplog: pytest.LogCaptureFixture) -> None:
    """And there is nothing to say about it."""
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
def test_a_grpcio_of_another_shape_is_noticed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, shape: Callable[..., Any]
) -> None:
    """Whatever of it has changed: one line says so and where, and calls go by grpcio's own server."""
    monkeypatch.setattr(self_test, "_CALL_SECONDS", 0.5)
    monkeypatch.setattr(completion_queue, "cygrpc", SimpleNamespace(**{**vars(cygrpc), name: shape}))
    with caplog.at_level(logging.WARNING, "paravec_server.rpc.fast_path.self_test"):
        assert not fast_path_works(SETTINGS)
    (line,) = (record for record in caplog.records if record.name == "paravec_server.rpc.fast_path.self_test")
    assert line.getMessage() == "calls go by grpcio's own server, which is slower"
    assert line.facts["at"]  # type: ignore[attr-defined]
