"""The examples of docs that need an environment of their own run (all others: tests/docs, tests/languages)."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import numpy as np
import pytest

from paravec_client import EmbeddingClient

from ..commands import paravec
from ..environments import environment
from ..pages import batch_program, blocks, run_in
from ..servers import Server

TEXTS = ["The fire in Sydney spread", "xyzzy", "fire and rain", "cricket in Melbourne"]


@pytest.mark.slow
def test_the_triton_example_of_the_docs_runs(server: Server, client: EmbeddingClient, tmp_path: Path) -> None:
    """The example runs in an environment where tritonclient and our client are both importable."""
    place = environment("oip")
    (block,) = blocks("docs/how-to/use-kserve-and-triton-clients.md", "python")
    code = block.code.replace("localhost:50051", server.target).replace('"lee"', repr(client.model().name))
    code += f"\nfrom paravec_client import EmbeddingClient, InferenceOptions\nours = EmbeddingClient({server.target!r})"
    code += "\nmade = ours.embed_all(list(texts), InferenceOptions('sgd', epochs=100, normalize=True))"
    code += "\nassert (made.vectors == vectors).all() and (made.known_token_counts == known).all()\nprint('well')"
    ran = run_in(place, code, tmp_path)
    assert ran.stdout == "well\n", ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_the_batch_examples_of_the_docs_run(
    engine: str, server: Server, client: EmbeddingClient, tmp_path: Path
) -> None:
    """The example for each engine reads a corpus and writes files of vectors."""
    place = environment("ray")
    (tmp_path / "texts.txt").write_text("".join(text + "\n" for text in TEXTS))
    np.save(tmp_path / "expected.npy", client.embed(TEXTS))
    prelude = ""
    if engine == "ray":
        prelude = "import ray\nray.init(num_cpus=2, include_dashboard=False, object_store_memory=2**27)\n"
    ran = run_in(place, batch_program(engine, server.target, prelude), tmp_path)
    assert ran.stdout.endswith("all is well\n"), ran.stderr


COMPRESSED = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_compressed_files_are_read_and_written(
    suffix: str, server: Server, client: EmbeddingClient, tmp_path: Path
) -> None:
    """A compressed file is recognized by its suffix; one that is cut off or damaged is one line."""
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


def test_a_compressed_output_is_continued_after_an_interruption(server: Server, tmp_path: Path) -> None:
    """The output is cut after its last whole member and continued with another member."""
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


def test_a_dash_is_standard_input_or_output(server: Server, client: EmbeddingClient) -> None:
    """ "-" reads and writes JSONL; formats that cannot go through a pipe are refused."""
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
def test_an_unreadable_line_is_one_invalid_document(name: str, server: Server, tmp_path: Path) -> None:
    """By default it ends the run; --on-error skips it or gives it a null vector. A file that cannot be read on ends any
    run."""
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


def test_an_option_without_effect_is_refused(server: Server) -> None:
    """An option that the named method ignores is refused, whether the command line or the server names the method."""
    ran = paravec(server, "embed", "--method", "map", "--epochs", "5", "fire")
    assert ran.returncode == 3
    assert "options.epochs: has no effect with METHOD_MAP" in ran.stderr
