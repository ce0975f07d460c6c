"""The images and the overlays, run for real: make deploy-test

Needs root on Debian, and kubectl; what else it takes is installed by lab/env.sh.
"""

import json
import os
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme

from paravec.v1.embedding_pb2 import EmbedRequest
from paravec.v1.embedding_pb2_grpc import EmbeddingServiceStub
from paravec_client import ClientConfig, EmbeddingClient, InferenceOptions, ParavecError, Tls, UnauthenticatedError
from paravec_model import __version__
from paravec_model.artifact import Artifact, verify
from paravec_model.convert.export import write_artifact
from paravec_model.convert.gensim_model import GensimModel
from paravec_model.encoder import Encoder
from paravec_model.text.tokenizer import SimpleTokenizer

from .. import parity
from ..environments import environment as environment_of
from ..registries import registry
from ..servers import stock_retries, until
from ..signing import Signer
from .canary import Callers, Canary, steps
from .manifests import KUSTOMIZE, ROOT, only, render
from .pods import LAB, LOCKED, Environment, free_port, make_images, podman
from .stores import entry_of

TEXTS = ["The prime minister spoke to reporters in Sydney", "fires burn near the city", "xyzzy"]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Both images, built by `make images`; the artifacts in them by tag. A tag `damaged` has a byte changed."""
    bases = subprocess.run([LAB / "bases"], capture_output=True, text=True, check=False)
    if bases.returncode == 3 or not shutil.which("kubectl"):
        pytest.skip(bases.stderr.strip() if bases.returncode else "no kubectl")
    assert bases.returncode == 0, bases.stderr
    made = {}
    for tag, epochs in (("1.0.0", 5), ("1.1.0", 6)):
        folder = tmp_path_factory.mktemp("models") / tag
        trained = GensimModel(parity.train(dm=0, epochs=epochs))
        write_artifact(folder, trained, name="test", version=tag, tokenizer=SimpleTokenizer())
        made[tag] = Artifact.open(folder)
        make_images(folder, tag)
    damaged = tmp_path_factory.mktemp("damaged") / "Dockerfile"
    damaged.write_text("FROM doc2vec-model:1.0.0\nUSER 0\nRUN printf x >> /usr/src/d2v_model/syn1neg.npy\nUSER 10001\n")
    subprocess.run([LAB / "builder", "build", "-t", "doc2vec-model:damaged", damaged.parent], check=True)
    return made


@pytest.fixture(scope="session")
def signed(models: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """A signer, whose signature the image `signed` has; `forged` has another's."""
    keys = tmp_path_factory.mktemp("keys")
    signers = {"signed": Signer(keys, name="signer"), "forged": Signer(keys, name="forger")}
    for tag, signer in signers.items():
        directory = shutil.copytree(models["1.0.0"].path, tmp_path_factory.mktemp("models") / tag)
        signer.sign(directory)
        make_images(directory, tag)
    return signers["signed"]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Callable[..., Environment]]:
    """Makes environments of an overlay, and removes them at the end."""
    made: list[Environment] = []

    def make(overlay: str, name: str = "paravec-server") -> Environment:
        made.append(Environment(tmp_path / name, overlay, free_port(), name))
        return made[-1]

    yield make
    for one in made:
        one.remove()


@pytest.fixture
def development(models: dict[str, Artifact], environment: Callable[..., Environment]) -> Environment:
    """The overlay `development`."""
    return environment("development")


def answers(environment: Environment, artifact: Artifact) -> None:
    """The pod gives the vectors that the model gives here, and names it."""
    with EmbeddingClient(environment.target) as client:
        client.wait_until_ready()
        vectors = client.embed(TEXTS)
        model = client.model()
    encoder = Encoder(artifact)
    local = encoder.encode([encoder.tokenize(text) for text in TEXTS]).vectors
    np.testing.assert_array_equal(vectors, local)
    assert (model.version, model.digest) == (artifact.manifest.version, artifact.manifest.digest)


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


def test_the_faq_engine_serves_and_is_locked_down(development: Environment) -> None:
    """The faq_engine image becomes ready with the server and can write nowhere."""
    development.apply()
    command = ["make", "faq-image", f"BUILDER={LAB}/builder"]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    port, name = free_port(), "paravec-faq-test"
    variables = (f"--env=PARAVEC_TARGET={development.target}", f"--env=FAQ_LISTEN=127.0.0.1:{port}")
    podman("rm", "--force", "--ignore", name)
    podman("run", "--detach", f"--name={name}", "--network=host", *LOCKED, *variables, f"paravec-faq:{__version__}")
    try:
        until(lambda: answered(f"http://127.0.0.1:{port}/readyz") == "ready\n")
        assert json.loads(answered(f"http://127.0.0.1:{port}/api/ask?q=fires+in+Sydney"))["model"]["version"] == "1.0.0"
        assert podman("exec", name, "id", "-u") == "10001\n"
        assert "Read-only" in podman("exec", name, "sh", "-c", ": > /tmp/x", check=False)
        assert "No module" in podman("exec", name, "python", "-c", "import paravec_model", check=False)
        # It ends by itself, not killed for taking too long.
        podman("stop", "--time=30", name)
        assert json.loads(podman("inspect", name))[0]["State"]["ExitCode"] == 0, podman("logs", name)
    finally:
        podman("rm", "--force", "--ignore", name)


def answered(address: str) -> str:
    """What an address answers; nothing if it does not."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310  our own
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""


def test_production_rolls_forward_and_back(
    environment: Callable[..., Environment], models: dict[str, Artifact]
) -> None:
    """One line changes the model. The one before stays in the store, so going back copies nothing."""
    production = environment("production")
    production.apply()
    answers(production, models["1.0.0"])
    production.roll("1.1.0")
    answers(production, models["1.1.0"])
    assert len(production.run("ls", "/models")[1].split()) == 2
    production.roll("1.0.0")
    answers(production, models["1.0.0"])
    assert len(production.run("ls", "/models")[1].split()) == 2


def test_prune_removes_the_model_that_no_pod_uses(
    environment: Callable[..., Environment], models: dict[str, Artifact]
) -> None:
    """A pod rolls back to an old model while the CronJob's container runs over and over: it serves that model, and
    the other one goes. What a pod uses stays, however old, until the pod's sidecar is stopped."""
    production = environment("production")
    for tag in ("1.0.0", "1.1.0"):
        production.roll(tag)
        answers(production, models[tag])
    old, newer = (entry_of(models[tag].path) for tag in ("1.0.0", "1.1.0"))
    store = production.volumes / "paravec-models"
    assert f"{newer}: in use by {production.pod}" in production.run_job()

    def turn_back(*paths: Path) -> None:
        for path in paths:
            os.utime(path, (time.time() - 20 * 86400,) * 2)

    turn_back(store / old, store / ".leases/.since")
    done, said = threading.Event(), [""]

    def prune() -> None:
        while not done.is_set():
            said.append(production.run_job())

    thread = threading.Thread(target=prune)
    thread.start()
    try:
        production.roll("1.0.0")
        answers(production, models["1.0.0"])
    finally:
        done.set()
        thread.join()
    turn_back(store / old, store / newer)
    last = production.run_job()
    assert f"{old}: in use by {production.pod}" in last
    assert f"{newer}: removed, " in last
    answers(production, models["1.0.0"])
    podman("stop", f"{production.pod}-hold-lease")
    assert production.container("hold-lease")["State"]["ExitCode"] == 0
    turn_back(store / old)
    assert f"{old}: removed, " in production.run_job()


def test_the_model_image_serves_as_a_volume(
    environment: Callable[..., Environment], models: dict[str, Artifact]
) -> None:
    """No init container and no copy, the same vectors, and another model by the same line."""
    mounting = environment("production-image-volume")
    mounting.apply()
    answers(mounting, models["1.0.0"])
    assert mounting.run("sh", "-c", ": > /models/x")[0] != 0
    mounting.roll("1.1.0")
    answers(mounting, models["1.1.0"])


@pytest.mark.parametrize("user", [(), ("--user=1010",)], ids=["user of the images", "uidModelcar"])
def test_kserve_serves_the_model_image_as_modelcar(models: dict[str, Artifact], user: tuple[str, ...]) -> None:
    """With oci://, a link that the model's container makes to its own root leads the server to /models."""
    pod, port, volume = "paravec-modelcar", free_port(), "paravec-modelcar"
    (container,) = only(render(KUSTOMIZE / "examples/kserve"), "ServingRuntime")["spec"]["containers"]
    variables = [f"--env={one['name']}={one['value']}" for one in container["env"] if "value" in one]
    image = f"localhost/{container['image']}"
    podman("pod", "rm", "--force", "--ignore", pod)
    podman("volume", "rm", "--force", volume)
    podman("pod", "create", f"--name={pod}", "--share=net,ipc,pid", f"--publish=127.0.0.1:{port}:50051")
    started = ("run", "--detach", f"--pod={pod}", "--pull=never", *user)
    # KServe starts the server first, and gives the model's image arguments, not a command.
    mounts = (f"--volume={volume}:/mnt:rw,U",)
    try:
        command = ("--entrypoint=sh", f"--name={pod}-server", *LOCKED, *variables, *mounts)
        podman(*started, *command, image, "-c", *container["args"])
        linked = "ln -sf /proc/$$/root/models /mnt/models && sleep infinity"
        podman(*started, f"--name={pod}-model", *mounts, "localhost/doc2vec-model:1.0.0", "sh", "-c", linked)
        with EmbeddingClient(f"127.0.0.1:{port}") as client:
            client.wait_until_ready(60)
            assert client.model().digest == models["1.0.0"].manifest.digest
            assert client.embed(TEXTS).shape == (len(TEXTS), models["1.0.0"].manifest.algorithm.vector_size)
        assert podman("exec", f"{pod}-server", "readlink", "/mnt/models").startswith("/proc/")
    finally:
        podman("pod", "rm", "--force", "--time=5", pod)
        podman("volume", "rm", "--force", volume)


def test_kserve_fetches_the_model_image(models: dict[str, Artifact], tmp_path: Path) -> None:
    """With oci+fetch://, KServe's own storage initializer pulls the image and extracts a model that is whole."""
    python = environment_of("kserve") / "bin/python"
    program = "import sys; from kserve_storage import Storage; Storage.download(*sys.argv[1:])"
    with registry(tmp_path) as address:
        reference = f"{address}/models/test:1.0.0"
        podman("push", "--tls-verify=false", "localhost/doc2vec-model:1.0.0", f"docker://{reference}")
        command = [str(python), "-c", program, f"oci://{reference}", str(tmp_path / "fetched")]
        subprocess.run(command, env=os.environ | {"KSERVE_OCI_INSECURE_REGISTRY": "true"}, check=True)
    assert verify(tmp_path / "fetched") == []
    assert Artifact.open(tmp_path / "fetched").manifest == models["1.0.0"].manifest


def test_the_models_image_holds_the_model_once(models: dict[str, Artifact]) -> None:
    """/models is there for KServe, whose oci+native:// mounts nothing else, and takes no room."""
    ran = ("run", "--rm", "--pull=never", "localhost/doc2vec-model:1.0.0", "stat", "-c", "%i %h")
    names = sorted(models["1.0.0"].manifest.files)
    one, other = (podman(*ran, *(f"{place}/{name}" for name in names)) for place in ("/models", "/usr/src/d2v_model"))
    assert one == other
    assert {line.split()[1] for line in one.splitlines()} == {"2"}


def test_the_italian_model_is_trained_in_a_build_stage(
    models: dict[str, Artifact], environment: Callable[..., Environment]
) -> None:
    """`make images` trains and packs it, staging serves it, and related Italian texts are near each other."""
    italian = "doc2vec-model-it"
    make_images(f"build/models/{italian}", "1.0.0", italian)
    staging = environment("staging")
    file = staging.path / "kustomization.yaml"
    file.write_text(file.read_text().replace("name: doc2vec-model\n", f"name: doc2vec-model\n    newName: {italian}\n"))
    staging.apply()
    artifact = Artifact.open(ROOT / "build/models" / italian)
    answers(staging, artifact)
    labels = json.loads(podman("image", "inspect", f"localhost/{italian}:1.0.0"))[0]["Labels"]
    assert labels["paravec.model.name"] == italian
    assert labels["paravec.model.digest"] == artifact.manifest.digest
    asked = "come si stampa un documento in bianco e nero?"
    near, far = "opzioni di stampa per documenti", "la funzione restituisce l'inversa di una matrice"
    with EmbeddingClient(staging.target) as client:
        vectors = client.embed([asked, near, far], InferenceOptions(normalize=True))
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


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


@pytest.mark.parametrize("overlay", ["development", "production-image-volume"])
def test_only_a_signed_model_is_served(
    overlay: str,
    environment: Callable[..., Environment],
    models: dict[str, Artifact],
    signed: Signer,
) -> None:
    """With the component `signature`, a signed model is served; one by another key, and one that is not signed, are one
    line."""
    checked = environment(overlay)
    shutil.copy(signed.key, checked.path / "signer.pub")
    checked.add("signature")
    with (checked.path / "kustomization.yaml").open("a") as file:
        file.write("configMapGenerator:\n  - {name: paravec-signer, files: [signer.pub]}\n")
    checked.roll("signed")
    answers(checked, models["1.0.0"])
    for tag, problem in (("1.0.0", "the artifact is not signed"), ("forged", "was not made by the key in /run/signer")):
        checked.roll(tag)
        assert checked.wait_for_exit("server") == 1, checked.log()
        (said,) = (line for line in checked.log().splitlines() if line.startswith("paravec-server: "))
        assert "model.sig" in said
        assert problem in said


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


@pytest.fixture
def canary(models: dict[str, Artifact], tmp_path: Path) -> Iterator[Canary]:
    """Stable and candidate behind a proxy."""
    made = Canary(tmp_path)
    yield made
    made.remove()


def test_a_canary_rolls_forward_back_and_to_its_promotion(canary: Canary, models: dict[str, Artifact]) -> None:
    """Shares follow the weights, the header decides, each step is a line of the page, and no call fails."""
    tag, few, more_pods, half, back, everything, promote, home, no_pods = steps()
    canary.step(tag)
    free, candidate_only, stable_only = (Callers(canary.target, header) for header in (None, "true", "false"))

    def share() -> int:
        """How many of the next 400 calls without the header the candidate answers."""
        assert candidate_only.next(20) == {"1.1.0": 20}
        assert stable_only.next(20) == {"1.0.0": 20}
        return free.next(400)["1.1.0"]

    assert share() == 0
    for line in (few, more_pods):
        canary.step(line)
        assert 15 <= share() <= 25
    canary.step(half)
    assert 190 <= share() <= 210
    canary.step(back)
    assert share() == 0
    canary.step(everything)
    assert share() == 400
    # The lab has one pod of the stable, which restarts.
    stable_only.stop()
    canary.step(promote)
    answers(canary.stable, models["1.1.0"])
    canary.step(home)
    candidate_only.stop()
    canary.step(no_pods)
    assert free.next(400) == {"1.1.0": 400}
    free.stop()
    assert canary.candidate.pod not in podman("pod", "ps", "--format", "{{.Name}}").split()
    assert len(canary.stable.run("ls", "/models")[1].split()) == 2
