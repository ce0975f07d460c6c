"""The client's configuration, and that both clients have the same interface."""

import copy
import dataclasses
import inspect
import pickle
import pydoc
from typing import Any

import numpy as np
import pytest

import paravec_client
from paravec_client import (
    AsyncEmbeddingClient,
    Batch,
    ClientConfig,
    ConfigError,
    EmbeddingClient,
    Embeddings,
    FieldViolation,
    Keepalive,
    ModelChangedError,
    ModelVersion,
    ParavecError,
    Retry,
    Tls,
)
from paravec_client._transport.proxy import find_proxy
from paravec_client.errors import with_offset


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
    assert inspect.isasyncgen(AsyncEmbeddingClient().embed_stream(["a text"]))


def test_the_environment_configures_a_client() -> None:
    """Each field has a variable, those of parts too; an empty one is none; what code says goes before."""
    environment = {
        "PARAVEC_TARGET": "dns:///vectors:50051",
        "PARAVEC_TIMEOUT": "2.5",
        "PARAVEC_TLS_CA": "ca.pem",
        "PARAVEC_TOKEN_FILE": "token",
        "PARAVEC_TLS_KEY": "",
        "PARAVEC_BATCH_IN_FLIGHT": "7",
        "PARAVEC_RETRY_TOTAL_BACKOFF": "0.5",
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
        retry=Retry(total_backoff=0.5),
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


def test_a_configuration_is_immutable_and_hides_tokens() -> None:
    """dataclasses.replace copies it, fields cannot be set, and its repr shows no token."""
    config = ClientConfig(token="secret")
    assert dataclasses.replace(config, timeout=1).timeout == 1
    assert "secret" not in repr(config)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.timeout = 1  # type: ignore[misc]


def test_interceptors_with_an_asyncio_channel_are_refused() -> None:
    """Interceptors beside the caller's own grpc.aio channel, where they have no effect, are an error."""
    channel: Any = object()
    with pytest.raises(ConfigError, match="interceptors"):
        AsyncEmbeddingClient(channel=channel, interceptors=[object()])


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"target": "localhost"}, "target: must be host:port, "),
        ({"target": "localhost:99999"}, "target: the port must be 1 to 65535, not 99999"),
        ({"target": "http://host:1"}, "target: must be host:port"),
        ({"target": "grpc://host:1"}, "target: must be host:port"),
        ({"target": "dns:///host"}, "target: must be host:port"),
        ({"target": "::1:50051"}, "target: must be host:port"),
        ({"target": "ipv4:host:1"}, "target: 'host' is not an ipv4 address"),
        ({"target": ""}, "target: must be host:port"),
        ({"target": 5}, "target: must be host:port, not 5"),
        ({"timeout": "5"}, "timeout: must be a number, more than 0, not '5'"),
        ({"timeout": float("inf")}, "timeout: must be a number"),
        ({"timeout": None}, "timeout: must be a number"),
        ({"retry": 3}, "retry: must be Retry(...), not 3"),
        ({"batch": 64}, "batch: must be Batch(...), not 64"),
        ({"tls": True}, "tls: must be Tls(...) or None, not True"),
        ({"health_checks": "no"}, "health_checks: must be True or False, not 'no'"),
        ({"token_file": 5}, "token_file: must be a path or None, not 5"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(given: dict[str, Any], problem: str) -> None:
    """A wrong type raises when the configuration is made, with what the field takes."""
    with pytest.raises(ConfigError) as caught:
        ClientConfig(**given)
    assert str(caught.value).startswith(problem)


def test_nested_parts_and_clients_name_a_wrong_value() -> None:
    """Tls, Retry and the clients name a wrong value, and show no token."""
    for make, problem in (
        (lambda: Retry(total_backoff="4"), "retry.total_backoff"),  # type: ignore[arg-type]
        (lambda: Batch(documents=2.5), "batch.documents"),  # type: ignore[arg-type]
        (lambda: Tls(ca=5), "tls.ca"),  # type: ignore[arg-type]
        (lambda: EmbeddingClient(config={}), "config"),  # type: ignore[arg-type]
        (lambda: EmbeddingClient(interceptors=5), "interceptors"),  # type: ignore[arg-type]
        (lambda: ClientConfig(token=b"secret"), "token: must be a str or None, not of the type bytes"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigError, match=f"^{problem}") as caught:
            make()
        assert "secret" not in str(caught.value)


def test_help_documents_every_field_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """help() documents each field and method, and nothing of the environment."""
    monkeypatch.setenv("PARAVEC_TOKEN", "s3cret-token")
    for name in paravec_client.__all__:
        item = getattr(paravec_client, name)
        if dataclasses.is_dataclass(item):
            page = inspect.getdoc(item) or ""
            assert all(f"{field.name}: " in page for field in dataclasses.fields(item)), name
        if isinstance(item, type):
            assert "s3cret-token" not in pydoc.render_doc(item)
    for name in public(EmbeddingClient).keys() - {"__aenter__", "__aexit__", "__init__"}:
        shared = inspect.getdoc(getattr(EmbeddingClient, name))
        assert shared
        assert (inspect.getdoc(getattr(AsyncEmbeddingClient, name)) or "").startswith(shared)


def subclasses(kind: type[ParavecError]) -> list[type[ParavecError]]:
    """The class, and all that are derived from it."""
    found = [kind]
    for derived in kind.__subclasses__():
        found += subclasses(derived)
    return found


def test_every_error_survives_pickle_and_copy() -> None:
    """With all its attributes: process pools and Ray send errors from worker to caller."""
    for kind in subclasses(ParavecError):
        error: Any
        if kind is ModelChangedError:
            error = ModelChangedError("1", "2")
        elif not inspect.signature(kind).parameters:
            error = kind()  # type: ignore[call-arg]
        else:
            violations = [FieldViolation("documents[3].text", "is bad")]
            error = kind("what", code="CODE", violations=violations, retry_after=2.5, request_id="an-id")
        same: Any
        for same in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert (type(same), str(same), vars(same)) == (kind, str(error), vars(error))
        assert type(with_offset(error, 2)) is kind


def test_a_client_without_configuration_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the command does; what is given in code goes before; it says where it goes."""
    monkeypatch.setenv("PARAVEC_TARGET", "elsewhere:1")
    monkeypatch.setenv("PARAVEC_TIMEOUT", "7")
    with EmbeddingClient() as client:
        assert client.config == ClientConfig("elsewhere:1", timeout=7)
        assert repr(client) == "<EmbeddingClient elsewhere:1>"
    assert repr(client) == "<EmbeddingClient elsewhere:1 closed>"
    assert EmbeddingClient("other:1").config == ClientConfig("other:1", timeout=7)
    assert AsyncEmbeddingClient(config=ClientConfig("other:1")).config.timeout == 30


def test_embeddings_compare_convert_and_print_well() -> None:
    """Equality compares all numbers, numpy converts to the vectors, and the repr is short."""
    counts = np.array([3, 1])
    vectors = np.arange(600, dtype=np.float32).reshape(2, 300)
    model = ModelVersion("lee", "1", "sha256:0")
    made, same = (Embeddings(vectors.copy(), counts, counts, counts > 2, model, "map") for _ in range(2))
    assert made == same
    assert made != made[:1]
    assert made[0] == same[0]
    assert made[0] in same
    assert made[0] != made[1]
    assert made[0] != "else"
    assert np.asarray(made) is made.vectors
    assert np.array_equal(np.asarray(made[1]), vectors[1])
    assert np.array_equal(np.array([np.asarray(item) for item in made]), vectors)
    assert repr(made) == "Embeddings(vectors=float32[2, 300], model='lee 1', method='map')"
    assert repr(made[0]) == (
        "Embedding(vector=float32[300], token_count=3, known_token_count=3, truncated=True, method='map')"
    )


PROXY = {"http_proxy": "http://user:pass@proxy:3128"}


@pytest.mark.parametrize(
    ("target", "environment", "proxied"),
    [
        ("localhost:1", {}, False),
        ("127.0.0.1:1", {}, False),
        ("[::1]:1", {}, False),
        ("dns:///localhost:1", {}, False),
        ("ipv4:127.0.0.1:1,127.0.0.2:2", {}, False),
        ("unix:/tmp/socket", {}, False),
        ("far:1", {}, True),
        ("far:1", {"no_proxy": "near,far"}, False),
        ("far.example.com:1", {"no_proxy": ".example.com"}, False),
        ("far:1", {"no_proxy": "*"}, False),
        ("far:1", {"no_proxy": "far", "no_grpc_proxy": "near"}, True),
        ("far:1", {"grpc_proxy": ""}, False),
        ("far:1", {"https_proxy": "http://other:1"}, True),
        ("ipv4:10.1.2.3:1", {"no_proxy": "10.0.0.0/8"}, False),
        ("ipv4:10.1.2.3:1,10.1.2.4:1", {"no_proxy": "10.1.2.3,10.1.2.4"}, False),
    ],
)
def test_proxy_variables_follow_grpcs_rules(target: str, environment: dict[str, str], proxied: bool) -> None:
    """A proxy is used by gRPC's variables and rules, and never for this machine."""
    proxy = find_proxy(ClientConfig(target), PROXY | environment)
    assert bool(proxy) == proxied
    assert "pass" not in str(proxy)
    assert find_proxy(ClientConfig(target, use_proxy=False), PROXY | environment) is None


def test_a_list_of_addresses_does_not_go_through_a_proxy() -> None:
    """gRPC would ask the proxy for all of them as one name."""
    with pytest.raises(ConfigError, match=r"the proxy proxy:3128 \(http_proxy\).*no_proxy.*use_proxy"):
        find_proxy(ClientConfig("ipv4:10.1.2.3:1,10.1.2.4:1"), PROXY | {"no_proxy": "10.1.2.3"})
