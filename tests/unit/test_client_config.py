"""How a client is configured, and that both clients are one."""

import dataclasses
import inspect
from typing import Any

import pytest

from paravec_client import (
    AsyncEmbeddingClient,
    Batch,
    ClientConfig,
    ConfigError,
    EmbeddingClient,
    Keepalive,
    Retry,
    Tls,
)


def public(kind: type) -> dict[str, inspect.Signature]:
    """The public methods of a class, with their parameters."""
    names = {"__enter__": "__aenter__", "__exit__": "__aexit__"}
    found = {names.get(name, name): method for name, method in vars(kind).items() if callable(method)}
    return {
        name: inspect.signature(method)
        for name, method in found.items()
        if not name.startswith("_") or name in ("__init__", "__aenter__", "__aexit__")
    }


def test_both_clients_have_the_same_methods() -> None:
    """Each method is there twice, with the same parameters in the same order and the same defaults."""
    sync, asynchronous = public(EmbeddingClient), public(AsyncEmbeddingClient)
    assert list(sync) == list(asynchronous)
    for name, signature in sync.items():
        for one, other in zip(signature.parameters.values(), asynchronous[name].parameters.values(), strict=True):
            assert (one.name, one.kind, one.default) == (other.name, other.kind, other.default), name
    awaited = ("close", "embed", "embed_all", "model", "health", "wait_until_ready")
    assert all(inspect.iscoroutinefunction(getattr(AsyncEmbeddingClient, name)) for name in awaited)
    assert inspect.isasyncgenfunction(AsyncEmbeddingClient.embed_stream)


def test_the_environment_configures_a_client() -> None:
    """Each field has a variable, those of parts too; an empty one is none; what code says goes before."""
    environment = {
        "PARAVEC_TARGET": "dns:///vectors:50051",
        "PARAVEC_TIMEOUT": "2.5",
        "PARAVEC_TLS_CA": "ca.pem",
        "PARAVEC_TOKEN_FILE": "token",
        "PARAVEC_TLS_KEY": "",
        "PARAVEC_BATCH_IN_FLIGHT": "7",
        "PARAVEC_RETRY_PATIENCE": "0.5",
        "PARAVEC_KEEPALIVE_TIME": "20",
        "PARAVEC_HEALTH_CHECKS": "no",
    }
    config = ClientConfig.from_environment(environment, timeout=3.0)
    assert config == ClientConfig(
        "dns:///vectors:50051",
        timeout=3.0,
        tls=Tls(ca="ca.pem"),
        token_file="token",
        batch=Batch(in_flight=7),
        retry=Retry(patience=0.5),
        keepalive=Keepalive(time=20.0),
        health_checks=False,
    )
    assert ClientConfig.from_environment({}) == ClientConfig()
    assert ClientConfig.from_environment({"PARAVEC_TLS": "yes"}).tls == Tls()
    assert ClientConfig.from_environment({"PARAVEC_TLS": "no"}).tls is None


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("PARAVEC_TIMEOUT", "soon", "PARAVEC_TIMEOUT: must be a number, not 'soon'"),
        ("PARAVEC_TIMEOUT", "-1", "timeout: must be more than 0"),
        ("PARAVEC_TIMEOUT", "nan", "timeout: must be more than 0"),
        ("PARAVEC_BATCH_DOCUMENTS", "1.5", "PARAVEC_BATCH_DOCUMENTS: must be a whole number"),
        ("PARAVEC_BATCH_IN_FLIGHT", "0", "batch.in_flight: must be at least 1"),
        ("PARAVEC_HEALTH_CHECKS", "perhaps", "PARAVEC_HEALTH_CHECKS: must be yes or no"),
        ("PARAVEC_KEEPALIVE_TIME", "1", "keepalive.time: must be at least 5"),
    ],
)
def test_a_bad_value_is_one_clear_error(variable: str, value: str, problem: str) -> None:
    """It names the variable, or the setting, and what it must be."""
    with pytest.raises(ConfigError) as caught:
        ClientConfig.from_environment({variable: value})
    assert str(caught.value).startswith(problem)


def test_a_configuration_is_copied_with_changes_and_does_not_change() -> None:
    """dataclasses.replace makes another; no token is in what is printed of it."""
    config = ClientConfig(token="secret")
    assert dataclasses.replace(config, timeout=1).timeout == 1
    assert "secret" not in repr(config)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.timeout = 1  # type: ignore[misc]


def test_interceptors_of_a_channel_of_asyncio_are_refused() -> None:
    """Such a channel is made with its own; they would have no effect."""
    channel: Any = object()
    with pytest.raises(ConfigError, match="interceptors"):
        AsyncEmbeddingClient(channel=channel, interceptors=[object()])
