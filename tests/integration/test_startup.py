"""What keeps a server from starting: each is one clear line."""

import shutil
import sys
from pathlib import Path

from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact

from ..servers import Server, command, failure, running
from ..signing import Signer


def last_line(lines: list[str]) -> str:
    """The one line that is not an event."""
    (line,) = (line for line in lines if not line.startswith("{"))
    return line


def test_a_wrong_model_path_is_one_clear_line(tmp_path: Path) -> None:
    """A missing folder, a file and a folder without a manifest are each one line, with exit code 1."""
    pickled = tmp_path / "doc2vec.model"
    pickled.write_bytes(b"\x80\x04N.")
    for path, problem in (
        (tmp_path / "none", "not found"),
        (pickled, "paravec-model convert"),
        (tmp_path, "not found"),
    ):
        code, lines = failure(*command(path))
        assert code == 1
        assert str(path) in last_line(lines)
        assert problem in last_line(lines)


def test_verify_full_finds_a_damaged_model(artifact: Artifact, tmp_path: Path) -> None:
    """--verify full reads every byte before the server is ready, and names the damaged file."""
    damaged = shutil.copytree(artifact.path, tmp_path / "model")
    content = bytearray((damaged / "syn1neg.npy").read_bytes())
    content[-100] ^= 1
    (damaged / "syn1neg.npy").write_bytes(content)
    code, lines = failure(*command(damaged, "--verify", "full"))
    assert code == 1
    assert "syn1neg.npy: its SHA-256 differs from the manifest's" in last_line(lines)


def test_a_server_serves_only_what_is_signed(artifact: Artifact, tmp_path: Path) -> None:
    """With --verify signature, a signed model is served, also by several workers; others are one line each."""
    directory, signer = shutil.copytree(artifact.path, tmp_path / "model"), Signer(tmp_path / "keys")
    asked = ("--verify", "signature", "--verify-key", str(signer.key))
    code, lines = failure(*command(directory, *asked))
    assert code == 1
    assert last_line(lines).startswith(f"paravec-server: {directory}/model.sig: not found: the artifact is not signed;")
    code, lines = failure(*command(directory, *asked[:3], str(signer.secret)))
    assert code == 2
    assert f"--verify-key (PARAVEC_VERIFY_KEY): {signer.secret}: holds a private key" in last_line(lines)
    signer.sign(directory)
    for workers in ("1", "2"):
        with running(directory, *asked, "--workers", workers) as server, EmbeddingClient(server.target) as client:
            assert client.model().digest == artifact.manifest.digest
    Signer(tmp_path / "others").sign(directory)
    code, lines = failure(*command(directory, *asked, "--workers", "2"))
    assert code == 1
    assert "model.sig: was not made by the key in" in last_line(lines)


def test_a_missing_extra_is_one_clear_line() -> None:
    """Installed as a client only, the server's command says what to install."""
    program = "import sys; sys.modules['grpc_reflection'] = None; from paravec_server.cli import main; sys.exit(main())"
    code, lines = failure(sys.executable, "-c", program, "--model", "models/mine")
    assert code == 1
    assert "pip install 'paravec[server]'" in last_line(lines)


def test_a_signature_needs_its_extra(artifact: Artifact) -> None:
    """Without cryptography, a server that is told to check signatures does not start, and says what to install."""
    program = "import sys; sys.modules['cryptography'] = None; from paravec_server.cli import main; sys.exit(main())"
    asked = ("--model", str(artifact.path), "--verify", "signature", "--verify-key", "signer.pub")
    code, lines = failure(sys.executable, "-c", program, *asked)
    assert code == 2
    assert "--verify (PARAVEC_VERIFY) signature needs pip install 'paravec[signature]'" in last_line(lines)


def test_a_model_of_more_epochs_than_allowed_is_one_clear_line(artifact: Artifact) -> None:
    """The limit on epochs holds for the model's default too, and this is said at start."""
    code, lines = failure(*command(artifact.path, "--max-epochs", "5"))
    assert code == 2
    assert "--max-epochs (PARAVEC_MAX_EPOCHS) must be at least 20, the model's default" in last_line(lines)


def test_a_taken_port_is_one_clear_line(server: Server, artifact: Artifact) -> None:
    """Two servers never share a port by accident."""
    code, lines = failure(*command(artifact.path), "--listen", server.target)
    assert code == 1
    assert last_line(lines).startswith(f"paravec-server: cannot listen on {server.target}: ")


def test_a_wrong_setting_is_one_clear_line(artifact: Artifact) -> None:
    """A setting out of range is named with its flag and variable."""
    code, lines = failure(*command(artifact.path, "--max-documents", "0"))
    assert code == 2
    assert "--max-documents (PARAVEC_MAX_DOCUMENTS) must be 1 to" in last_line(lines)
