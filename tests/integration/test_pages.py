"""The examples of docs that need an environment of their own run (all others: tests/docs, tests/languages)."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from benchmarks.environments import InstallError, install

from paravec_client import EmbeddingClient

from ..commands import paravec
from ..pages import ROOT, batch_program, blocks, run_in
from ..servers import Server

TEXTS = ["The fire in Sydney spread", "xyzzy", "fire and rain", "cricket in Melbourne"]


def test_the_example_for_triton(server: Server, client: EmbeddingClient, tmp_path: Path) -> None:
    """In an environment in which tritonclient stands beside our client, which stays importable there."""
    try:
        place = install(ROOT / "requirements/oip.lock", ROOT / "build/oip")
    except InstallError as error:
        pytest.skip(f"tritonclient {error}")
    (block,) = blocks("docs/how-to/use-kserve-and-triton-clients.md", "python")
    code = block.code.replace("localhost:50051", server.target).replace('"lee"', repr(client.model().name))
    code += f"\nfrom paravec_client import EmbeddingClient, InferenceOptions\nours = EmbeddingClient({server.target!r})"
    code += "\nmade = ours.embed_all(list(texts), InferenceOptions('sgd', epochs=100, normalize=True))"
    code += "\nassert (made.vectors == vectors).all() and (made.known_token_counts == known).all()\nprint('well')"
    ran = run_in(place, code, tmp_path)
    assert ran.stdout == "well\n", ran.stderr


@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_the_examples_for_batch_engines(engine: str, server: Server, client: EmbeddingClient, tmp_path: Path) -> None:
    """From the reading of a corpus to the files of vectors."""
    try:
        place = install(ROOT / "requirements/ray.lock", ROOT / "build/ray")
    except InstallError as error:
        pytest.skip(f"Ray and Dask {error}")
    (tmp_path / "texts.txt").write_text("".join(text + "\n" for text in TEXTS))
    np.save(tmp_path / "expected.npy", client.embed(TEXTS))
    prelude = ""
    if engine == "ray":
        prelude = "import ray\nray.init(num_cpus=2, include_dashboard=False, object_store_memory=2**27)\n"
    ran = run_in(place, batch_program(engine, server.target, prelude), tmp_path)
    assert ran.stdout.endswith("all is well\n"), ran.stderr


COMPRESSED = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_compressed_files(suffix: str, server: Server, client: EmbeddingClient, tmp_path: Path) -> None:
    """Are read and written by their suffix; one that is cut off, or is no such file, is one line."""
    data = "".join(text + "\n" for text in TEXTS).encode()
    if suffix == ".zst":
        zstd = pytest.importorskip("backports.zstd", reason="needs paravec[cli]")
        compress, decompress = zstd.compress, zstd.decompress
    else:
        compress = COMPRESSED[suffix]
        decompress = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}[suffix]
    path, vectors = tmp_path / f"texts.txt{suffix}", tmp_path / f"v.jsonl{suffix}"
    path.write_bytes(compress(data))
    run = ("embed", "--input", str(path), "--force")
    ran = paravec(server, *run, "--output", str(vectors))
    assert ran.returncode == 0, ran.stderr
    made = [json.loads(line) for line in decompress(vectors.read_bytes()).splitlines()]
    assert np.array_equal(np.array([one["vector"] for one in made], np.float32), client.embed(TEXTS))
    for broken in (compress(data)[:-6], b"no such file\n"):
        path.write_bytes(broken)
        ran = paravec(server, *run, "--output", str(tmp_path / "w.npy"))
        assert ran.returncode == 1
        assert "is cut off or damaged" in ran.stderr
        assert "Traceback" not in ran.stderr
    ran = paravec(server, *run, "--output", str(tmp_path / f"v.npy{suffix}"))
    assert ran.returncode == 2
    assert "npy is not written compressed" in ran.stderr


def test_a_compressed_output_goes_on_after_an_interruption(server: Server, tmp_path: Path) -> None:
    """It is cut at the end of a member, and continued with another."""
    texts, vectors = tmp_path / "texts.txt", tmp_path / "v.jsonl.gz"
    texts.write_text("fire\nsydney\n")
    run = ("embed", "--input", str(texts), "--output", str(vectors))
    with texts.open("ab") as file:
        file.write(b"\xff\n")
    assert paravec(server, *run).returncode == 1
    assert (tmp_path / "v.jsonl.gz.partial").exists()
    texts.write_text("fire\nsydney\nrain\n")
    ran = paravec(server, *run, "--resume")
    assert ran.returncode == 0, ran.stderr
    assert [json.loads(line)["id"] for line in gzip.decompress(vectors.read_bytes()).splitlines()] == [0, 1, 2]


def test_standard_input_and_output_by_a_dash(server: Server, client: EmbeddingClient) -> None:
    """Records as in a file of JSONL; what cannot go there is refused."""
    ran = paravec(server, "embed", "--input", "-", "--output", "-", given="fire\nsydney\n")
    assert ran.returncode == 0, ran.stderr
    made = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [sorted(one) for one in made] == [["id", "known_token_count", "token_count", "truncated", "vector"]] * 2
    ran = paravec(server, "embed", "--input", "-", "--output", "-", "--output-format", "npy", given="fire\n")
    assert ran.returncode == 2
    assert "npy cannot be written to a pipe" in ran.stderr


LINES = {
    "t.txt": (b"fire\n\xff\nsydney\n", "is not UTF-8"),
    "t.jsonl": (b'{"text": "fire"}\n{"text": \n{"text": "sydney"}\n', "is not JSON"),
    "u.jsonl": (b'{"text": "fire"}\n[5]\n{"text": "sydney"}\n', "must be a JSON object, not list"),
    "t.csv": (b"text,other\nfire,1\nrain\nsydney,2\n", "has 1 columns, the header has 2"),
    "u.csv": (b'text,other\nfire,1\n"rain"x,2\nsydney,2\n', "is not CSV"),
    "t.tsv": (b"other\ttext\n1\tfire, and rain\n\xff\t2\n2\tsydney\n", "is not UTF-8"),
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_cannot_be_read_is_one_record(name: str, server: Server, tmp_path: Path) -> None:
    """Without a vector, or left out; by default it ends the run, as a file that cannot be read through."""
    data, problem = LINES[name]
    path = tmp_path / name
    path.write_bytes(data)
    run = ("embed", "--input", str(path), "--output", "-")
    ran = paravec(server, *run, "--on-error", "null")
    assert ran.returncode == 0, ran.stderr
    made = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [one["vector"] is None for one in made] == [False, True, False]
    assert made[1]["error"].startswith(problem)
    assert f"{path}, line {3 if 'sv' in name else 2}: {problem}" in ran.stderr
    ran = paravec(server, *run, "--on-error", "skip")
    assert [json.loads(line)["id"] for line in ran.stdout.splitlines()] == [0, 2]
    ran = paravec(server, *run)
    assert ran.returncode == 1
    assert f": {problem}" in ran.stderr


def test_an_option_without_effect_is_told(server: Server) -> None:
    """Where it is the method of the command line, by the server."""
    ran = paravec(server, "embed", "--method", "map", "--epochs", "5", "fire")
    assert ran.returncode == 3
    assert "options.epochs: has no effect with METHOD_MAP" in ran.stderr
