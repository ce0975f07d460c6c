"""Pods of the overlays, run for real: users, threads, TLS, tokens, a damaged model, a stop under load."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme

from paravec.v1.embedding_pb2 import EmbedRequest
from paravec.v1.embedding_pb2_grpc import EmbeddingServiceStub
from paravec_client import ClientConfig, EmbeddingClient, ParavecError, Tls, UnauthenticatedError
from paravec_model import __version__
from paravec_model.artifact import Artifact
from paravec_model.encoder import Encoder

from ..servers import running, stock_retries, until
from .containers import TEXTS, answered, answers
from .manifests import ROOT
from .pods import LAB, LOCKED, Environment, free_port, podman


def load(targets: list[str], stop: threading.Event) -> tuple[int, list[str]]:
    """Embed without a pause over a stock channel that balances and retries; calls answered, and what failed."""
    options = stock_retries(loadBalancingConfig=[{"round_robin": {}}])
    done, failed = 0, []
    with grpc.insecure_channel(f"ipv4:{','.join(targets)}", options) as channel:
        embed = EmbeddingServiceStub(channel).Embed
        request = EmbedRequest(documents=[{"text": text} for text in TEXTS])
        while not stop.is_set():
            try:
                embed(request, timeout=10)
                done += 1
            except grpc.RpcError as error:
                failed.append(str(error))
    return done, failed


def test_development_serves_and_is_locked_down(development: Environment, models: dict[str, Artifact]) -> None:
    """The pod gives the vectors made here, runs as non-root with a read-only root, and its image holds no model."""
    development.apply()
    answers(development, models["1.0.0"])
    assert development.run("id", "-u") == (0, "10001\n")
    assert development.run("id", "-g") == (0, "10001\n")
    for place in ("/models/x", "/run/paravec/x", "/tmp/x", "/home/x"):
        code, said = development.run("sh", "-c", f": > {place}")
        assert code != 0, place
        assert "Read-only" in said, said
    assert "CapEff:\t0000000000000000" in development.run("cat", "/proc/1/status")[1]
    assert development.run("python", "-c", "import gensim")[0] != 0


def test_a_pod_runs_as_any_user(environment: Callable[..., Environment], models: dict[str, Artifact]) -> None:
    """With a user id that no image knows and group 0, as OpenShift gives, the model is installed and served."""
    pod = environment("production-volume-per-pod")
    pod.user = 1000650000
    pod.apply()
    answers(pod, models["1.0.0"])
    assert pod.run("id", "-u", "-r") == (0, f"{pod.user}\n")
    assert pod.run("id", "-G") == (0, "0\n")
    code, said = pod.run("sh", "-c", ": > /models/x")
    assert code != 0
    assert "Read-only" in said, said
    assert pod.stop() == 0


@pytest.mark.parametrize(("limit", "request_"), [("1", "2"), (None, "500m")], ids=["limit", "no limit"])
def test_threads_are_what_the_pod_may_use(
    limit: str | None, request_: str, environment: Callable[..., Environment], models: dict[str, Artifact]
) -> None:
    """A CPU limit of one core is read from the cgroup; without a limit the request counts, not the machine's cores."""
    pod = environment("development")
    pod.set_cpu(limit, request_)
    pod.apply()
    answers(pod, models["1.0.0"])
    (serving,) = (event for event in map(json.loads, pod.log().splitlines()) if event["event"] == "serving")
    assert serving["threads"] == 1


def test_the_faq_engine_serves_and_is_locked_down(models: dict[str, Artifact], tmp_path: Path) -> None:
    """The faq_engine image becomes ready with a server of its entries and can write nowhere."""
    command = ["make", "faq-image", f"BUILDER={LAB}/builder"]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    entries, index = ROOT / "client/examples/faq_engine/faqs/office-en.jsonl", tmp_path / "index"
    command = [sys.executable, "-m", "paravec_model.cli", "index", str(models["1.0.0"].path), "--jsonl", str(entries)]
    command += ["--id-field", "question", "--field", "question", "--field", "answer", "--lexical"]
    subprocess.run([*command, "--output", str(index)], capture_output=True, text=True, check=True)
    port, name = free_port(), "paravec-faq-test"
    podman("rm", "--force", "--ignore", name)
    try:
        with running(index) as server:
            variables = (f"--env=PARAVEC_TARGET={server.target}", f"--env=FAQ_LISTEN=127.0.0.1:{port}")
            image = f"paravec-faq:{__version__}"
            podman("run", "--detach", f"--name={name}", "--network=host", *LOCKED, *variables, image)
            until(lambda: answered(f"http://127.0.0.1:{port}/readyz") == "ready\n")
            found = json.loads(answered(f"http://127.0.0.1:{port}/api/ask?q=error+message+%23REF!"))
        assert found["entries"][0]["question"] == "What does the error message #REF! mean?"
        assert podman("exec", name, "id", "-u") == "10001\n"
        assert "Read-only" in podman("exec", name, "sh", "-c", ": > /tmp/x", check=False)
        assert "No module" in podman("exec", name, "python", "-c", "import paravec_model", check=False)
        # It ends by itself, not killed for taking too long.
        podman("stop", "--time=30", name)
        assert json.loads(podman("inspect", name))[0]["State"]["ExitCode"] == 0, podman("logs", name)
    finally:
        podman("rm", "--force", "--ignore", name)


def test_tls_tokens_and_metrics_work_together_in_the_pod(
    development: Environment, models: dict[str, Artifact], tmp_path: Path
) -> None:
    """Probes pass, clients with token and authority are answered, metrics count them, and a new token works without a
    restart."""
    authority, secrets = trustme.CA(), development.secrets
    for name in ("paravec-server-tls", "paravec-server-tokens"):
        (secrets / name).mkdir(parents=True)
    issued = authority.issue_cert("127.0.0.1")
    (secrets / "paravec-server-tls/tls.crt").write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    (secrets / "paravec-server-tls/tls.key").write_bytes(issued.private_key_pem.bytes())
    first, second = "1st-" * 8, "2nd-" * 8
    tokens = secrets / "paravec-server-tokens/tokens"
    tokens.write_text(f"{first}\n")
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    development.add("tls", "tokens", "monitoring")
    development.apply()
    tls = Tls(ca=tmp_path / "ca.pem")

    def embed(token: str | None) -> Any:
        with EmbeddingClient(config=ClientConfig(development.target, tls=tls, token=token)) as client:
            client.wait_until_ready()
            return client.embed(TEXTS)

    encoder = Encoder(models["1.0.0"])
    expected = encoder.encode([encoder.tokenize(text) for text in TEXTS]).vectors
    np.testing.assert_array_equal(embed(first), expected)
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert development.probe(kind) == (200, "ok"), kind
    for token in (None, second):
        with pytest.raises(UnauthenticatedError):
            embed(token)
    tokens.write_text(f"{first}\n{second}\n")
    until(lambda: not is_refused(embed, second))
    page = development.operations("/metrics")[1]
    assert 'paravec_calls_total{code="OK",method="Embed"}' in page
    assert 'paravec_calls_refused_total{reason="credentials"}' in page
    assert development.run("python", "-c", "import paravec_server.telemetry.tracing")[0] == 0


def is_refused(embed: Callable[[str], Any], token: str) -> bool:
    """Whether the server takes this token for a wrong one."""
    try:
        embed(token)
    except UnauthenticatedError:
        return True
    return False


def test_a_damaged_model_never_becomes_ready(development: Environment) -> None:
    """The init container fails and says which file; the server never starts."""
    development.roll("damaged")
    assert development.wait_for_exit("install-model") == 1
    assert "syn1neg.npy" in development.log("install-model")
    with EmbeddingClient(development.target) as client, pytest.raises(ParavecError):
        client.wait_until_ready(2)


def test_a_stop_under_load_fails_no_call(
    development: Environment, models: dict[str, Artifact], environment: Callable[..., Environment]
) -> None:
    """One of two pods is stopped in the midst of calls: it finishes its own, and the other takes the rest."""
    second = environment("development", "second")
    for one in (development, second):
        one.apply()
        answers(one, models["1.0.0"])
    stop = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(load, [development.target, second.target], stop) for _ in range(4)]
        stop.wait(1)
        code = development.stop()
        stop.wait(1)
        stop.set()
        results = [call.result() for call in calls]
    assert code == 0
    assert [failed for _, failed in results] == [[]] * 4
    assert all(done > 20 for done, _ in results)
    assert '"draining"' in development.log()
