"""The subcommands of `paravec`, their output and exit codes."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from paravec_client import EmbeddingClient
from paravec_model.artifact import Artifact

from ..commands import paravec
from ..servers import Server

ROOT = Path(__file__).parents[2]


def test_embed_prints_json_lines_to_a_pipe(server: Server, client: EmbeddingClient) -> None:
    """In a pipe each text is one JSON line with the vector that the library gives."""
    ran = paravec(server, "embed", "fire in Sydney", "caffè", "--normalize")
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [line["text"] for line in lines] == ["fire in Sydney", "caffè"]
    assert lines[0]["known_token_count"] == 3
    vector = client.embed("fire in Sydney")
    assert np.allclose(lines[0]["vector"], vector / np.linalg.norm(vector), atol=1e-6)


def test_embed_reads_lines_from_standard_input(server: Server, client: EmbeddingClient) -> None:
    """Without arguments each line of standard input is one text."""
    ran = paravec(server, "embed", given="fire\n\nsydney harbour\r\n")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [line["text"] for line in lines] == ["fire", "", "sydney harbour"]
    assert np.array_equal(np.array(lines[2]["vector"], np.float32), client.embed("sydney harbour"))


def test_similar_prints_tags_and_cosines(server: Server, client: EmbeddingClient) -> None:
    """Each text from arguments or lines gets the tags and cosines of its neighbours, as JSON or as a table."""
    expected = client.find_similar("fire in qqqqqq", top_k=2).neighbours
    (line,) = map(json.loads, paravec(server, "similar", "fire in qqqqqq", "--top-k", "2").stdout.splitlines())
    assert [tuple(near.values()) for near in line["neighbours"]] == [
        (near.tag, near.cosine, near.score) for near in expected
    ]
    assert (line["text"], line["known_token_count"], line["token_count"]) == ("fire in qqqqqq", 2, 3)
    lines = [json.loads(line) for line in paravec(server, "similar", given="fire\nxyzzy\n" * 40).stdout.splitlines()]
    assert [len(line["neighbours"]) for line in lines] == [10, 0] * 40
    table = paravec(server, "similar", "fire in qqqqqq", "--top-k", "2", "--format", "table").stdout
    assert table.splitlines() == [
        "2/3 tokens known  fire in qqqqqq", *(f"{near.cosine:8.3f}  {near.tag}" for near in expected),
    ]  # fmt: skip
    assert "top_k: must be 1 to 100, not 0" in paravec(server, "similar", "fire", "--top-k", "0").stderr


def test_format_table_prints_tables(server: Server) -> None:
    """--format table prints tables for people."""
    assert "2/3" in paravec(server, "embed", "fire in qqqqqq", "--format", "table").stdout
    assert "vector_size                  50" in paravec(server, "model", "--format", "table").stdout
    assert paravec(server, "health", "--format", "table").stdout == "process SERVING\nembedding SERVING\n"


def test_model_and_health_print_json(server: Server, artifact: Artifact) -> None:
    """`paravec model` and `paravec health` print JSON to a pipe."""
    model = json.loads(paravec(server, "model").stdout)
    assert model["digest"] == artifact.manifest.digest
    assert model["limits"]["max_documents"] == 64
    health = paravec(server, "health", "--wait", "5")
    assert (health.returncode, json.loads(health.stdout)) == (0, {"process": "SERVING", "embedding": "SERVING"})


@pytest.mark.parametrize(
    ("arguments", "given", "code", "problem"),
    [
        (["embed", "x", "--epochs", "0"], "", 3, "options.epochs: must be 1 to 100000"),
        (["embed"], b"\xff\n", 1, "not UTF-8"),
        (["similar"], b"fire\n\xff\n", 1, "standard input, line 2: is not UTF-8"),
        (["embed", "x", "--target", "127.0.0.1:1"], "", 4, "paravec: "),
        (["health", "--target", "127.0.0.1:1"], "", 4, "paravec: "),
        (["health", "--target", "127.0.0.1:1", "--wait", "0.1"], "", 5, "not ready after 0.1 s"),
        (["embed", "--colour"], "", 2, "unrecognized arguments"),
    ],
)
def test_each_kind_of_failure_has_one_line_and_its_exit_code(
    server: Server, arguments: list[str], given: str | bytes, code: int, problem: str
) -> None:
    """A failure prints one line without a traceback and exits with the code of its kind."""
    ran = paravec(None if "--target" in arguments else server, *arguments, given=given)
    assert ran.returncode == code
    assert problem in ran.stderr
    assert "Traceback" not in ran.stderr


def test_embed_gives_up_after_its_timeout() -> None:
    """A server that never answers is a deadline, not a wait without end."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        ran = paravec(None, "embed", "fire", "--target", target, "--timeout", "0.5")
    assert ran.returncode == 5


def test_the_demo_runs(artifact: Artifact) -> None:
    """client/examples/demo.py embeds its texts over the wire, prints neighbours and latency, and exits with 0."""
    command = [sys.executable, str(ROOT / "client/examples/demo.py"), "--model", str(artifact.path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("nearest: ") == 8
    assert "round trip of one text" in ran.stdout
