"""The server's settings."""

from dataclasses import fields
from pathlib import Path

import pytest

from paravec_server.settings import Settings, SettingsError, read_settings


def test_only_the_model_is_required() -> None:
    """Every setting but the model has a default."""
    settings = read_settings(["--model", "m"], {})
    assert settings == Settings(model=Path("m"))
    assert settings.listen == "[::]:50051"
    assert settings.inference_threads >= 1


def test_a_flag_overrides_its_variable() -> None:
    """Each setting is a flag and a variable PARAVEC_NAME, and the flag wins."""
    environ = {"PARAVEC_MODEL": "from-env", "PARAVEC_MAX_TOKENS": "7", "PARAVEC_REFLECTION": "false"}
    settings = read_settings(["--max-tokens", "8", "--drain-seconds", "1.5"], environ)
    assert (settings.model, settings.max_tokens, settings.reflection) == (Path("from-env"), 8, False)
    assert settings.drain_seconds == 1.5
    assert read_settings(["--reflection"], environ).reflection is True


def test_every_setting_can_be_a_variable() -> None:
    """No setting is reachable by flag alone."""
    values = {"model": "m", "listen": "unix:/x", "verify": "signature", "reflection": "0"}
    values |= {"method": "map", "log_level": "debug", "log_format": "json"}
    values |= {"operations_listen": "localhost:0", "tracing": "1"}
    environ = {f"PARAVEC_{f.name.upper()}": values.get(f.name, "2000") for f in fields(Settings)}
    environ |= {"PARAVEC_THREADS": "3", "PARAVEC_WORKERS": "4"}
    settings = read_settings([], environ)
    assert settings.threads == 3
    assert all(getattr(settings, f.name) != f.default for f in fields(Settings))


def test_threads_and_workers_divide_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a CPU limit both follow the request; what is set explicitly stays."""
    monkeypatch.setattr("paravec_server.settings.usable_cores", lambda request: 64 if request is None else request)
    environ = {"PARAVEC_MODEL": "m", "PARAVEC_CPU_REQUEST": "4"}
    assert read_settings([], environ).inference_threads == 4
    assert read_settings(["--workers", "2"], environ).inference_threads == 2
    assert read_settings(["--workers", "0"], environ).processes == 4
    assert read_settings(["--workers", "8"], environ).inference_threads == 1
    assert read_settings(["--threads", "3"], environ).inference_threads == 3
    assert read_settings([], {"PARAVEC_MODEL": "m"}).inference_threads == 64


def test_an_empty_variable_counts_as_unset() -> None:
    """An empty variable keeps the default."""
    assert read_settings(["--model", "m"], {"PARAVEC_MAX_TOKENS": ""}).max_tokens == 10_000


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({}, "no model: set --model or PARAVEC_MODEL"),
        (
            {"PARAVEC_MODEL": "m", "PARAVEC_THREADS": "many"},
            r"--threads \(PARAVEC_THREADS\) must be a number, not 'many'",
        ),
        ({"PARAVEC_MODEL": "m", "PARAVEC_MAX_TOKENS": "0"}, "--max-tokens .* must be 1 to"),
        ({"PARAVEC_MODEL": "m", "PARAVEC_DRAIN_SECONDS": "nan"}, "--drain-seconds"),
        ({"PARAVEC_MODEL": "m", "PARAVEC_REFLECTION": "maybe"}, "must be true or false"),
        ({"PARAVEC_MODEL": "m", "PARAVEC_VERIFY": "twice"}, "must be one of manifest, full, signature"),
        ({"PARAVEC_MODEL": "m", "PARAVEC_VERIFY": "signature"}, r"signature needs --verify-key \(PARAVEC_VERIFY_KEY\)"),
        ({"PARAVEC_MODEL": "m", "PARAVEC_VERIFY_KEY": "k"}, r"^--verify-key .* needs --verify .* signature$"),
    ],
)
def test_a_wrong_setting_is_named_with_flag_and_variable(environ: dict[str, str], problem: str) -> None:
    """The message says which setting, what it must be, and what it was."""
    with pytest.raises(SettingsError, match=problem):
        read_settings([], environ)


@pytest.mark.parametrize(
    "address", ["9464", "localhost", "localhost:", "localhost:http", "localhost:65536", "::1:9464", "[::1]", "unix:/x"]
)
def test_the_operations_address_must_be_host_and_port(address: str) -> None:
    """Anything else is one line with the setting and the form it takes."""
    with pytest.raises(
        SettingsError, match=r"^--operations-listen \(PARAVEC_OPERATIONS_LISTEN\) must be host:port, e.g. "
    ):
        read_settings(["--model", "m", "--operations-listen", address], {})
