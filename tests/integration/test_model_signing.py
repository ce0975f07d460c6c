"""Signatures by the stock tool of OpenSSF model signing, from an environment of its own."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact
from paravec_model.errors import SignatureError
from paravec_model.signature import Verifier

from ..environments import environment
from ..pages import commands
from ..servers import running
from ..signing import Signer

INSTALL = Path(__file__).parents[2] / "model/image/install-model"

pytestmark = pytest.mark.slow

Tool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def tool() -> Tool:
    """Run `model_signing`, in a folder that is not the artifact's."""
    command = environment("signing") / "bin/model_signing"

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([command, *arguments], capture_output=True, text=True, check=False, timeout=120)

    return run


@pytest.fixture
def directory(artifact: Artifact, tmp_path: Path) -> Path:
    """An artifact to sign."""
    return shutil.copytree(artifact.path, tmp_path / "model")


def sign(tool: Tool, directory: Path, signer: Signer, *more: str | Path) -> None:
    """Sign as docs/how-to/sign-a-model.md says."""
    flags = ("--private_key", signer.secret, "--signature", directory / "model.sig", *more)
    done = tool("sign", "key", directory, *flags)
    assert done.returncode == 0, done.stderr


def test_the_page_signs_and_checks(artifact: Artifact, tmp_path: Path) -> None:
    """The commands of the page, in its order: openssl makes a key, the tool signs, paravec-model and the tool check."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (tmp_path / "models").mkdir()
    shutil.copytree(artifact.path, tmp_path / "models/lee")
    path = f"{environment('signing') / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    page = "docs/how-to/sign-a-model.md"
    lines = [line for program in ("openssl", "model_signing", "paravec-model") for line in commands(page, program)]
    assert len(lines) == 5
    command = ["bash", "-ec", "\n".join(lines)]
    environ = os.environ | {"PATH": path}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Verification succeeded" in done.stdout
    assert done.stdout.endswith(": sound, signed by the key in signer.pub\n")


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_what_the_tool_signs_is_accepted(tool: Tool, directory: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    """A signature by each kind of key that the tool takes is accepted, and refused once a file is changed."""
    signer = Signer(tmp_path / "keys", curve)
    sign(tool, directory, signer)
    verifier = Verifier.read(signer.key)
    Artifact.open(directory, signed_by=verifier)
    manifest = directory / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"created": "2', '"created": "3'))
    with pytest.raises(SignatureError):
        Artifact.open(directory, signed_by=verifier)
    done = tool("verify", "key", directory, "--public_key", signer.key, "--signature", directory / "model.sig")
    # How it quotes the name depends on the digest's bytes.
    assert re.search("Hash mismatch for \\W*manifest.json", done.stderr)


def test_what_we_sign_in_tests_the_tool_accepts(tool: Tool, directory: Path, tmp_path: Path) -> None:
    """The signer of our fast tests makes what the tool makes."""
    signer = Signer(tmp_path / "keys")
    signer.sign(directory)
    done = tool("verify", "key", directory, "--public_key", signer.key, "--signature", directory / "model.sig")
    assert done.returncode == 0, done.stderr
    Artifact.open(directory, signed_by=Verifier.read(signer.key))


def test_a_file_left_out_on_purpose_may_stay(tool: Tool, directory: Path, tmp_path: Path) -> None:
    """Files that the signer names to be ignored, and git's, may lie in the folder, as the tool allows."""
    signer = Signer(tmp_path / "keys")
    for name in ("README.md", ".gitattributes"):
        (directory / name).touch()
    sign(tool, directory, signer, "--ignore-paths", directory / "README.md")
    Artifact.open(directory, signed_by=Verifier.read(signer.key))


def test_a_certificate_signs_too(tool: Tool, directory: Path, tmp_path: Path) -> None:
    """Of a signature by certificate, the certificate's public key is the one to name."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    signer, made = Signer(tmp_path / "keys"), tmp_path / "signer.crt"
    extensions = ("-addext", "keyUsage=digitalSignature", "-subj", "/CN=signer")
    subprocess.run(
        ["openssl", "req", "-x509", "-new", "-key", signer.secret, *extensions, "-out", made],
        check=True,
        capture_output=True,
    )
    flags = ("--private_key", signer.secret, "--signing_certificate", made, "--certificate_chain", made)
    done = tool("sign", "certificate", directory, *flags, "--signature", directory / "model.sig")
    assert done.returncode == 0, done.stderr
    Artifact.open(directory, signed_by=Verifier.read(signer.key))


def test_an_installed_model_is_still_signed(tool: Tool, directory: Path, tmp_path: Path) -> None:
    """The tool and a server accept what install-model put into a store."""
    signer, store, link = Signer(tmp_path / "keys"), tmp_path / "store", tmp_path / "run/model"
    sign(tool, directory, signer)
    store.mkdir()
    subprocess.run(["sh", INSTALL, directory, store, link], check=True, capture_output=True)
    entry = link.resolve()
    done = tool("verify", "key", entry, "--public_key", signer.key, "--signature", entry / "model.sig")
    assert done.returncode == 0, done.stderr
    with running(link, "--verify", "signature", "--verify-key", str(signer.key)) as server:
        with EmbeddingClient(server.target) as client:
            assert client.model().digest == Artifact.open(directory).manifest.digest
